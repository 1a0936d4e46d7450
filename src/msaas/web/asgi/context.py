"""What all requests share: the app, the limits, the thread pools, the open event streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from flask import Flask

from msaas.auth.keys import find_key
from msaas.auth.quotas import address_account
from msaas.settings.api_keys import Key
from msaas.web.asgi.callers import Callers
from msaas.web.asgi.connections import Connections
from msaas.web.asgi.environ import Environ, environ_of
from msaas.web.asgi.exchange import Answer, Exchange, Receivers
from msaas.web.asgi.limits import Limits
from msaas.web.asgi.pace import Pace
from msaas.web.asgi.pool import FairPool

T = TypeVar("T")

# Health checks have their own threads, so that they work however busy the service is.
HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")
HEALTH_THREADS, HEALTH_THREADS_PER_CALLER = 4, 3
DISK_THREADS = 4
# All event streams together poll their jobs this often; the more there are, the less often each one polls.
POLLS_PER_SECOND = 100


class Stream(Protocol):
    """A request whose answer is a stream of events."""

    def wake(self) -> None: ...


class ServerContext:
    """`dropped` and `answered_alive` are hooks for the metrics."""

    def __init__(
        self,
        app: Flask,
        limits: Limits,
        receivers: Receivers,
        *,
        keys: Sequence[Key],
        dropped: Callable[[str], None],
        answered_alive: Callable[[str], None],
    ) -> None:
        self.app, self.limits, self.receivers, self.keys = app, limits, receivers, keys
        self.connections = Connections(limits.connections, dropped)
        self.callers = Callers(limits.requests)
        self.streams: set[Stream] = set()
        self._answered_alive = answered_alive
        self._alive: Answer | None = None
        self._pool = FairPool(limits.threads, limits.threads_per_caller, "request")
        self._health = FairPool(HEALTH_THREADS, HEALTH_THREADS_PER_CALLER, "health")
        self._disk = FairPool(DISK_THREADS, DISK_THREADS, "disk")

    def load(self) -> None:
        """Stores the one answer that is always the same, before the first request."""
        scope = {
            "method": "GET",
            "raw_path": b"/healthz",
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "server": None,
            "client": None,
            "headers": [(b"host", b"localhost")],
        }
        self._alive = Exchange(self.app, environ_of(scope, 0), {}).begin()

    def stop_streams(self) -> None:
        for request in self.streams:
            request.wake()

    def stop(self) -> None:
        for pool in (self._pool, self._health, self._disk):
            pool.stop()

    def new_pace(self) -> Pace:
        return Pace(self.limits.slow_seconds, self.limits.slow_bytes_per_second)

    # --- for one request

    def known_answer(self, environ: Environ) -> Answer | None:
        """The constant answer of /healthz, which needs no thread."""
        if self._alive is None or environ["PATH_INFO"] != "/healthz" or environ["QUERY_STRING"]:
            return None
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or "HTTP_ORIGIN" in environ:
            return None
        self._answered_alive(environ["REQUEST_METHOD"])
        return self._alive if environ["REQUEST_METHOD"] == "GET" else replace(self._alive, whole=b"")

    def is_health(self, environ: Environ) -> bool:
        return environ["PATH_INFO"] in HEALTH_PATHS

    def stretched(self, pause_seconds: float) -> float:
        return max(pause_seconds, len(self.streams) / POLLS_PER_SECOND)

    def caller_of(self, environ: Environ) -> str:
        """Who is charged for a request: the key if it is known here, else the address."""
        scheme, _, text = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if self.keys and scheme.lower() == "bearer":
            key = find_key(self.keys, text.strip())
            if key is not None:
                return f"key {key.name}"
        return address_account(environ.get("REMOTE_ADDR", ""))

    async def in_thread(self, caller: str, environ: Environ, work: Callable[[], T]) -> T:
        pool = self._health if self.is_health(environ) else self._pool
        return await asyncio.wrap_future(pool.submit(caller, work))

    async def on_disk(self, caller: str, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._disk.submit(caller, work))
