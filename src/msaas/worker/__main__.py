"""Starts a worker: settings, signals, health checks, housekeeping, then the supervisor's loop."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

from msaas.callbacks.sender import Sender
from msaas.errors import SettingsError
from msaas.maintenance.housekeeping import Housekeeper
from msaas.scratch import check_writable
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.telemetry import logs
from msaas.telemetry.log_shipping import ship_logs
from msaas.telemetry.metrics import CountedQueue
from msaas.worker.health import serve_health
from msaas.worker.process import SeparationProcess
from msaas.worker.supervisor import Supervisor

log = logging.getLogger(__name__)


def main() -> int:
    try:
        settings = Settings.from_env(os.environ)
        check_writable(settings.scratch_dir)
    except SettingsError as error:
        print(f"msaas: {error}", file=sys.stderr)  # noqa: T201 - logging is set up by what could not be read
        return 2
    logs.set_up(settings.log_level)
    ship_logs(settings, "worker")
    queue, storage = CountedQueue.from_settings(settings), Storage.from_settings(settings)
    worker = Supervisor(settings, queue, storage, SeparationProcess(stall_seconds=settings.stall_seconds))
    if settings.worker_http_port:
        try:
            queue.meters.watch_worker(lambda: worker.ready()[0])
            serve_health(settings.worker_http_port, alive=worker.alive, ready=worker.ready, metrics=queue.meters.render)
        except OSError as error:
            log.error("MSAAS_WORKER_HTTP_PORT=%d cannot be bound: %s", settings.worker_http_port, error)
            return 2

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    callbacks = Sender.from_settings(settings, queue.redis, told=queue.meters.called_back)
    retention_seconds = settings.retention_hours * 3600
    housekeeper = Housekeeper(queue, storage, callbacks=callbacks, retention_seconds=retention_seconds)
    housekeeper.start()
    worker.run()
    housekeeper.stop()
    return 2 if worker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
