"""A worker, built from the settings. Never imports torch: the separation process is a program of its own."""

from __future__ import annotations

import logging

from msaas.queue import Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics
from msaas.wiring.background import housekeeping
from msaas.wiring.process import WRONG_STATUS, on_stop_signals
from msaas.wiring.stores import build_queue, build_storage
from msaas.worker.health import serve_health
from msaas.worker.options import WorkerOptions
from msaas.worker.process import SeparationProcess
from msaas.worker.supervisor import Supervisor

log = logging.getLogger(__name__)


def run_worker(settings: Settings) -> int:
    """Works until SIGTERM or SIGINT, or until no separation process can run here."""
    metrics = Metrics()
    queue, storage = build_queue(settings, observer=metrics), build_storage(settings)
    worker = build_supervisor(settings, queue, storage)
    if settings.worker_http_port and not _serve_health(settings.worker_http_port, worker, metrics):
        return WRONG_STATUS
    on_stop_signals(worker.stop)
    with housekeeping(settings, queue, storage, metrics, mixing=True):
        worker.run()
    return WRONG_STATUS if worker.failed else 0


def build_supervisor(
    settings: Settings, queue: Queue, storage: Storage, process: SeparationProcess | None = None
) -> Supervisor:
    process = process or SeparationProcess(stall_seconds=settings.stall_seconds)
    return Supervisor(build_options(settings), queue, storage, process)


def build_options(settings: Settings) -> WorkerOptions:
    return WorkerOptions(
        model=settings.model,
        allowed_models=settings.allowed_models,
        scratch_dir=settings.scratch_dir,
        scratch_free_bytes=settings.scratch_free_bytes,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        stall_seconds=settings.stall_seconds,
        grace_seconds=settings.grace_seconds,
        storage_refusal_seconds=settings.storage_refusal_seconds,
        loaded_first_songs=settings.loaded_first_songs,
        songs_in_flight=settings.songs_in_flight,
        child_memory_bytes=settings.child_memory_bytes,
    )


def _serve_health(port: int, worker: Supervisor, metrics: Metrics) -> bool:
    """Returns False if the port is taken."""
    metrics.watch_worker(lambda: worker.ready()[0])
    try:
        serve_health(port, alive=worker.alive, ready=worker.ready, metrics=metrics.render)
    except OSError as error:
        log.error("MSAAS_WORKER_HTTP_PORT=%d cannot be bound: %s", port, error)
        return False
    return True
