"""What the calls work with, made once by create_app and handed to them. Holds parts, decides nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flask import current_app

from msaas.audio.limits import Limits
from msaas.audio.sandbox.probe import probe_isolated
from msaas.callbacks.outbox import Outbox
from msaas.queue import Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.web.http.concurrency import ConcurrencyLimit, StreamLimit
from msaas.web.store_check import StoreCheck
from msaas.web.store_links import StoreLinks

EXTENSION = "msaas"
PROBE_TIMEOUT_SECONDS = 30
BASE64_BODIES, BASE64_WAIT_SECONDS = 2, 10
PROBES, PROBES_A_CALLER = 4, 2
CONNECTIONS_A_STREAM = 8


@dataclass
class Services:
    """`probe` takes a file and returns what msaas.audio.decode.probe.Probe has."""

    settings: Settings
    queue: Queue
    storage: Storage
    probe: Callable[[Path], Any]
    base64_gate: ConcurrencyLimit
    probe_gate: ConcurrencyLimit
    events_gate: StreamLimit
    stopping: threading.Event = field(default_factory=threading.Event)  # set on SIGTERM: event streams end
    callbacks: Outbox = field(init=False)  # of the same Redis
    store_links: StoreLinks = field(init=False)
    store_check: StoreCheck = field(init=False)

    def __post_init__(self) -> None:
        self.callbacks = Outbox(self.queue.redis)
        self.store_links = StoreLinks(self.settings)
        self.store_check = StoreCheck(self.storage.check)

    @classmethod
    def build(
        cls,
        settings: Settings,
        queue: Queue | None = None,
        storage: Storage | None = None,
        probe: Callable[[Path], Any] | None = None,
    ) -> Services:
        return cls(
            settings=settings,
            queue=queue or Queue.from_settings(settings, timeout_seconds=3),
            storage=storage or Storage.from_settings(settings, timeout_seconds=10, parts_at_once=1),
            probe=probe
            or partial(
                probe_isolated,
                limits=_limits(settings),
                timeout_seconds=PROBE_TIMEOUT_SECONDS,
                cpu_seconds=settings.probe_cpu_seconds,
            ),
            base64_gate=ConcurrencyLimit(
                BASE64_BODIES,
                share=BASE64_BODIES,
                waiting=settings.threads // 2,  # the other half stays free for other calls
                wait_seconds=BASE64_WAIT_SECONDS,
                what="base64 decodings",
            ),
            # a probe is a process of its own: a burst of uploads must not become a burst of processes
            probe_gate=ConcurrencyLimit(
                PROBES,
                share=PROBES_A_CALLER,
                waiting=settings.threads // 2,
                wait_seconds=PROBE_TIMEOUT_SECONDS,
                what="song probes",
            ),
            # a stream holds no thread, but a connection, and it looks at its job's record all the while
            events_gate=StreamLimit(settings.max_connections // CONNECTIONS_A_STREAM, what="event streams"),
        )


def _limits(settings: Settings) -> Limits:
    return Limits(settings.max_duration_seconds, settings.max_decoded_bytes)


def services() -> Services:
    """Those of the app that answers the present request."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Services)  # noqa: S101 - tells mypy; create_app put it there
    return found
