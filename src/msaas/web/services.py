"""The objects that the routes use. msaas.wiring builds them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, current_app

from msaas.auth.idempotency import Answers
from msaas.batches import Batches
from msaas.callbacks.outbox import Outbox
from msaas.library import SongList
from msaas.mixing.song_mixes import SongMixes
from msaas.queue import Queue
from msaas.sharing.shares import Shares
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics
from msaas.uploads import Uploads
from msaas.web.http.concurrency import ConcurrencyLimit, StreamLimit
from msaas.web.options import ApiOptions
from msaas.web.store_check import StoreCheck
from msaas.web.store_links import StoreLinks

EXTENSION = "msaas"


@dataclass
class Services:
    """`probe` takes a file and returns what msaas.audio.decode.probe.Probe has. `fetches`: the queue of provisional
    jobs, whose songs are fetched first; `mixes`: that of mixes. `callbacks`: of the queue's Redis."""

    options: ApiOptions
    queue: Queue
    fetches: Queue
    mixes: Queue
    song_mixes: SongMixes
    shares: Shares
    songs: SongList
    batches: Batches
    storage: Storage
    uploads: Uploads
    probe: Callable[[Path], Any]
    metrics: Metrics
    callbacks: Outbox
    answers: Answers
    store_links: StoreLinks
    store_check: StoreCheck
    base64_gate: ConcurrencyLimit
    probe_gate: ConcurrencyLimit
    events_gate: StreamLimit
    stopping: threading.Event = field(default_factory=threading.Event)  # set on SIGTERM: event streams end


def current_services() -> Services:
    """The services of the current request's app."""
    return services_of(current_app)


def services_of(app: Flask) -> Services:
    found = app.extensions[EXTENSION]
    assert isinstance(found, Services)  # noqa: S101 - tells mypy; create_app put it there
    return found
