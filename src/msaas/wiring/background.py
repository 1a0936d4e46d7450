"""Background work of each process: housekeeping, callbacks, songs that are fetched by address; in workers, mixes."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

from redis import Redis

from msaas.audio.limits import Limits as SongLimits
from msaas.audio.sandbox.probe import probe_isolated
from msaas.batches import Batches, BatchFollower
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.sender import LEASE_SECONDS, HttpPost, Sender
from msaas.errors import FetchRefused, MSaaSError
from msaas.fetching.answers import Source
from msaas.fetching.bucket import BucketSource
from msaas.fetching.download import DownloadLimits
from msaas.fetching.fetcher import Fetcher
from msaas.fetching.http import HttpSource
from msaas.fetching.run import FetchContext, FetchLimits
from msaas.fetching.sources import BUCKET_SCHEME, MEMBER, SourcePolicy
from msaas.fetching.stored import SONG, UPLOAD, StoredSource
from msaas.maintenance.housekeeping import Housekeeper
from msaas.maintenance.sweep import Forget
from msaas.mixing.renderer import MixRenderer
from msaas.mixing.run import MixContext
from msaas.mixing.song_mixes import SongMixes
from msaas.outbound.targets import TargetPolicy
from msaas.queue import BATCH_KEYS, FETCH_KEYS, MIX_KEYS, Queue
from msaas.settings import Settings
from msaas.sharing.shares import Shares
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics
from msaas.uploads import UploadLimits, Uploads
from msaas.wiring.stores import queue_on

PROBE_TIMEOUT_SECONDS = 30
STEM_SLACK_SECONDS = 60  # a stem may be longer than its song by a few samples

Probe = Callable[[Path], Any]


def build_target_policy(settings: Settings) -> TargetPolicy:
    return TargetPolicy(settings.callback_allow, settings.callback_ports)


def build_sender(settings: Settings, redis: Redis, *, settled: Callable[[str], object] = lambda _: None) -> Sender:
    post = HttpPost(build_target_policy(settings), settings.callback_secrets, settings.public_url)
    return Sender(Outbox(redis, lease_seconds=LEASE_SECONDS), post, settled=settled)


def build_source_policy(settings: Settings) -> SourcePolicy:
    targets = TargetPolicy(settings.fetch_allow, settings.fetch_ports, refusal=FetchRefused, name=MEMBER)
    return SourcePolicy(targets, settings.fetch_buckets)


def build_probe(settings: Settings) -> Probe:
    return partial(
        probe_isolated,
        limits=SongLimits(settings.max_duration_seconds, settings.max_decoded_bytes),
        timeout_seconds=PROBE_TIMEOUT_SECONDS,
        cpu_seconds=settings.probe_cpu_seconds,
    )


def build_fetches(settings: Settings, redis: Redis, metrics: Metrics) -> Queue:
    """The queue of provisional jobs."""
    return queue_on(redis, settings, keys=FETCH_KEYS, observer=metrics.fetches)


def build_mixes(settings: Settings, redis: Redis, metrics: Metrics) -> Queue:
    """The queue of mixes."""
    return queue_on(redis, settings, keys=MIX_KEYS, observer=metrics.mixes)


def build_mixers(settings: Settings, songs: Queue, mixes: Queue, storage: Storage) -> list[MixRenderer]:
    context = MixContext(
        mixes=mixes,
        songs=songs,
        storage=storage,
        limits=SongLimits(
            settings.max_duration_seconds + STEM_SLACK_SECONDS,
            settings.max_decoded_bytes,
            settings.decoder_memory_bytes,
        ),
        scratch_dir=settings.scratch_dir,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    return [MixRenderer(context) for _ in range(settings.mixers)]


def build_batches(settings: Settings, songs: Queue, fetches: Queue) -> Batches:
    return Batches(queue_on(songs.redis, settings, keys=BATCH_KEYS), fetches, songs)


def build_uploads(settings: Settings, redis: Redis, storage: Storage) -> Uploads:
    limits = UploadLimits(
        settings.max_upload_bytes,
        settings.max_unfinished_uploads,
        settings.max_unfinished_upload_bytes,
        settings.upload_hours * 3600,
    )
    return Uploads(redis, storage, limits)


def build_fetch_limits(settings: Settings) -> FetchLimits:
    download = DownloadLimits(
        settings.max_upload_bytes,
        settings.fetch_seconds,
        settings.slow_client_seconds,
        settings.slow_client_bytes_per_second,
    )
    return FetchLimits(
        download,
        settings.max_duration_seconds,
        max_waiting=settings.max_queue,
        max_songs=settings.max_songs_per_caller,
        audio_limit_seconds=ceil(settings.daily_audio_minutes * 60),
    )


def build_fetchers(settings: Settings, songs: Queue, fetches: Queue, storage: Storage) -> list[Fetcher]:
    policy, tls = build_source_policy(settings), ssl.create_default_context()
    uploads = build_uploads(settings, songs.redis, storage)

    def open_source(url: str) -> Source:
        if url.startswith(UPLOAD):
            return StoredSource(lambda: uploads.read(uploads.get(url.removeprefix(UPLOAD))))
        if url.startswith(SONG):
            return StoredSource(lambda: storage.read_input(url.removeprefix(SONG)))
        if url.startswith(BUCKET_SCHEME):
            return BucketSource(policy.stored(url), storage)
        return HttpSource(url, policy.targets, tls)

    def submitted(url: str, songhash: str) -> None:
        if url.startswith(UPLOAD):
            with suppress(MSaaSError):  # gone already; else its chunks are swept
                uploads.submitted(uploads.get(url.removeprefix(UPLOAD)), songhash)

    context = FetchContext(
        fetches=fetches,
        songs=songs,
        storage=storage,
        probe=build_probe(settings),
        open_source=open_source,
        limits=build_fetch_limits(settings),
        scratch_dir=settings.scratch_dir,
        heartbeat_seconds=settings.heartbeat_seconds,
        submitted=submitted,
    )
    return [Fetcher(context) for _ in range(settings.fetchers)]


def forgetting(mixes: SongMixes, shares: Shares) -> Forget:
    """Deletes what belongs to a song besides its objects: its mixes, and the links that share it."""
    return lambda songhash: chain(shares.forget(songhash), mixes.forget(songhash))


@contextmanager
def housekeeping(
    settings: Settings, queue: Queue, storage: Storage, metrics: Metrics, *, mixing: bool = False
) -> Iterator[None]:
    """Runs beside the block; stopped at its end. `mixing`: whether this process renders mixes, too."""
    sender = build_sender(settings, queue.redis, settled=metrics.called_back)
    fetches = build_fetches(settings, queue.redis, metrics)
    batches = build_batches(settings, queue, fetches)
    mixes = build_mixes(settings, queue.redis, metrics)
    mixers = build_mixers(settings, queue, mixes, storage) if mixing else []
    keeper = Housekeeper(
        queue,
        storage,
        callbacks=sender,
        fetches=fetches,
        batches=batches.waiting,
        mixes=mixes,
        workers=[*build_fetchers(settings, queue, fetches, storage), BatchFollower(batches), *mixers],
        forget=forgetting(SongMixes(mixes, storage), Shares(queue.redis)),
        other_sweeps=[build_uploads(settings, queue.redis, storage).sweep],
        retention_seconds=settings.retention_hours * 3600,
    )
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()
