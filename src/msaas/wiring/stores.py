"""The clients of Redis and the object store, as the settings name them. Connects to nothing yet."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis

from msaas import queue, storage
from msaas.queue import KEYS, Queue, QueueObserver
from msaas.settings import Settings
from msaas.storage import PARTS_AT_ONCE, Storage

MIN_CONNECTIONS = 10  # to the object store, kept open


def build_redis(settings: Settings, *, timeout_seconds: float = 10) -> Redis:
    return queue.connect(
        settings.redis_host,
        settings.redis_password,
        sentinel_password=settings.redis_sentinel_password,
        ca_file=settings.ca_file,
        timeout_seconds=timeout_seconds,
    )


def build_queue(settings: Settings, *, timeout_seconds: float = 10, observer: QueueObserver | None = None) -> Queue:
    """The queue of songs, on a connection of its own."""
    return queue_on(build_redis(settings, timeout_seconds=timeout_seconds), settings, observer=observer)


def queue_on(
    redis: Redis, settings: Settings, *, keys: Sequence[str] = KEYS, observer: QueueObserver | None = None
) -> Queue:
    """The queue of these keys: of songs, fetches, mixes or batches."""
    return Queue(
        redis,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        replicas=settings.redis_replicas,
        observer=observer,
        keys=keys,
    )


def build_storage(settings: Settings, *, timeout_seconds: float = 30, parts_at_once: int = PARTS_AT_ONCE) -> Storage:
    client = storage.connect(
        settings.minio_host,
        settings.minio_access_key,
        settings.minio_secret_key,
        secure=settings.minio_secure,
        ca_file=settings.ca_file,
        timeout_seconds=timeout_seconds,
        connections=max(settings.threads, MIN_CONNECTIONS),
    )
    return Storage(client, parts_at_once=parts_at_once)
