"""The API under uvicorn: one process, housekeeping beside it. `python -m msaas.web` starts it."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from types import FrameType

import uvicorn
from flask import Flask

from msaas.audio.sandbox import self_check
from msaas.callbacks.sender import Sender
from msaas.errors import SandboxError, SettingsError
from msaas.maintenance.housekeeping import Housekeeper
from msaas.scratch import check_writable
from msaas.settings import Settings
from msaas.telemetry import logs
from msaas.telemetry.log_shipping import ship_logs
from msaas.web.app import create_app
from msaas.web.asgi.app import AsgiServer
from msaas.web.asgi.limits import KEEP_ALIVE_SECONDS
from msaas.web.asgi.protocol import HttpProtocol
from msaas.web.routes.metrics import meters_of
from msaas.web.routes.separate import RECEIVERS
from msaas.web.services import EXTENSION, Services
from msaas.web.uploads.spool import sweep

log = logging.getLogger(__name__)

# The local stack ends within 30 s; requests in flight get most of it.
GRACEFUL_SECONDS = 20
BACKLOG = 2048  # the kernel has a limit of its own, net.core.somaxconn
# The event loop gives the interpreter up at each send and wants it back at once; with the default of 5 ms, threads at
# work make it wait that long for each of a thousand clients.
SWITCH_SECONDS = 0.0005
FILES_BESIDES = 256  # Redis, the store, logs, libraries


def main() -> int:
    """Serves until SIGTERM or SIGINT. Settings are read from the environment here and nowhere below."""
    try:
        settings = Settings.from_env(os.environ)
        check_writable(settings.scratch_dir)
        listener = listen(settings)
    except SettingsError as error:
        sys.stderr.write(f"msaas.web: {error}\n")
        return 2
    logs.set_up(settings.log_level)
    try:
        self_check.check_probe(settings.scratch_dir)
    except SandboxError as error:
        sys.stderr.write(f"msaas.web: {error}\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_before_serving)  # until uvicorn sets its own
    Server(settings, listener).run()
    return 0


def _end_before_serving(_number: int, _frame: FrameType | None) -> None:
    """A signal while the server starts ends it as one does later: with what it has begun stopped, and status 0."""
    raise SystemExit(0)


def listen(settings: Settings) -> socket.socket:
    """The bound socket. Raises SettingsError where the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {_reason(error)};"
            " set MSAAS_PORT (and MSAAS_HOST) to a free one"
        ) from error


def _reason(error: OSError) -> str:
    """socket.create_server adds the address, in a tuple."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]


class Server:
    """One process: an event loop for the connections, threads for the Flask app, housekeeping beside them."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings, self.listener = settings, listener
        self.housekeeper: Housekeeper | None = None

    def load(self) -> Flask:
        return create_app(self.settings)

    def run(self) -> None:
        """Serves until a signal, then for as long as requests under way take, GRACEFUL_SECONDS at most."""
        app = self.load()
        parts, meters = services_of(app), meters_of(app)
        front = AsgiServer(app, self.settings, RECEIVERS, dropped=meters.note_dropped, answered_alive=meters.note_alive)
        raise_file_limit(front.limits.connections)
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self.begin(app)
            front.load()
            _Uvicorn(front, parts).run(sockets=[self.listener])
        finally:
            front.stop()
            self.end()

    def begin(self, app: Flask) -> None:
        parts = services_of(app)
        ship_logs(self.settings, "rest")
        if strays := sweep(self.settings.scratch_dir):
            log.info("swept uploads of a killed server files=%d", strays)
        told = meters_of(app).called_back
        callbacks = Sender.from_settings(self.settings, parts.queue.redis, told=told)
        retention_seconds = self.settings.retention_hours * 3600
        self.housekeeper = Housekeeper(
            parts.queue, parts.storage, callbacks=callbacks, retention_seconds=retention_seconds
        )
        self.housekeeper.start()

    def end(self) -> None:
        if self.housekeeper is not None:
            self.housekeeper.stop()


class _Uvicorn(uvicorn.Server):
    """uvicorn, told in code, with our protocol for its connections. The same signal twice means what it means once:
    make's process group and make itself pass it on."""

    def __init__(self, front: AsgiServer, parts: Services) -> None:
        self._front, self._parts = front, parts
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        protocol = partial(HttpProtocol, limits=front.limits, connections=front.connections)
        config = uvicorn.Config(
            front,
            http=protocol,  # type: ignore[arg-type]
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # msaas.web.asgi.environ reads them, for as many proxies as are trusted
            server_header=False,
            headers=[("server", "msaas")],  # which software this is, and how old, is nobody's business
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # event streams end by themselves only with their job: without this each stop would take the whole grace
        self._parts.stopping.set()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._front.stop_streams()
        await super().shutdown(sockets)


def raise_file_limit(connections: int) -> None:
    """A connection takes a file, its upload or download another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + FILES_BESIDES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def services_of(app: Flask) -> Services:
    found = app.extensions[EXTENSION]
    assert isinstance(found, Services)  # noqa: S101 - tells mypy
    return found
