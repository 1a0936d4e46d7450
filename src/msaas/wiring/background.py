"""Background work of each process: housekeeping, and the delivery of callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis import Redis

from msaas.callbacks.outbox import Outbox
from msaas.callbacks.sender import LEASE_SECONDS, HttpPost, Sender
from msaas.callbacks.targets import TargetPolicy
from msaas.maintenance.housekeeping import Housekeeper
from msaas.queue import Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics


def build_target_policy(settings: Settings) -> TargetPolicy:
    return TargetPolicy(settings.callback_allow, settings.callback_ports)


def build_sender(settings: Settings, redis: Redis, *, settled: Callable[[str], object] = lambda _: None) -> Sender:
    post = HttpPost(build_target_policy(settings), settings.callback_secrets, settings.public_url)
    return Sender(Outbox(redis, lease_seconds=LEASE_SECONDS), post, settled=settled)


@contextmanager
def housekeeping(settings: Settings, queue: Queue, storage: Storage, metrics: Metrics) -> Iterator[None]:
    """Runs beside the block; stopped at its end."""
    sender = build_sender(settings, queue.redis, settled=metrics.called_back)
    keeper = Housekeeper(queue, storage, callbacks=sender, retention_seconds=settings.retention_hours * 3600)
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()
