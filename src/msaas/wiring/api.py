"""Builds the API from the settings."""

from __future__ import annotations

import logging
import socket
from typing import NoReturn

from flask import Flask

from msaas.audio.sandbox.self_check import check_probe
from msaas.auth.access_control import AccessControl
from msaas.auth.idempotency import Answers
from msaas.auth.quotas import Quotas
from msaas.callbacks.outbox import Outbox
from msaas.library import SongList
from msaas.mixing.song_mixes import SongMixes
from msaas.queue import Queue
from msaas.settings import Settings
from msaas.sharing.shares import Shares
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics
from msaas.web.app import create_app
from msaas.web.asgi.app import AsgiServer
from msaas.web.asgi.context import ServerContext
from msaas.web.asgi.exchange import Receivers
from msaas.web.asgi.limits import Limits
from msaas.web.batches import routes as batches
from msaas.web.http.concurrency import ConcurrencyLimit, StreamLimit
from msaas.web.mixes import routes as mix_calls
from msaas.web.options import ApiOptions
from msaas.web.routes import separate, uploads
from msaas.web.server import Server, listen
from msaas.web.services import Services, services_of
from msaas.web.shares import routes as shares
from msaas.web.store_check import StoreCheck
from msaas.web.store_links import StoreLinks
from msaas.web.uploads.spool import sweep
from msaas.wiring.background import (
    PROBE_TIMEOUT_SECONDS,
    Probe,
    build_batches,
    build_fetches,
    build_mixes,
    build_probe,
    build_source_policy,
    build_target_policy,
    build_uploads,
    housekeeping,
)
from msaas.wiring.process import on_stop_signals
from msaas.wiring.stores import build_queue, build_storage

log = logging.getLogger(__name__)

RECEIVERS: Receivers = {
    **separate.RECEIVERS,
    **uploads.RECEIVERS,
    **batches.RECEIVERS,
    **mix_calls.RECEIVERS,
    **shares.RECEIVERS,
}

REDIS_TIMEOUT_SECONDS, STORAGE_TIMEOUT_SECONDS = 3, 10  # a caller waits for the answer
BASE64_BODIES, BASE64_WAIT_SECONDS = 2, 10
PROBES, PROBES_PER_CALLER = 4, 2
CONNECTIONS_PER_STREAM = 8


def run_api(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. Raises SettingsError and SandboxError if it cannot start."""
    listener = listen(settings.host, settings.port)
    check_probe(settings.scratch_dir)
    on_stop_signals(_end_before_serving)  # until uvicorn sets its own
    serve(settings, build_app(settings), listener)
    return 0


def _end_before_serving() -> NoReturn:
    """A signal during startup ends the process like a later one: cleanly, with status 0."""
    raise SystemExit(0)


def serve(settings: Settings, app: Flask, listener: socket.socket) -> None:
    """Runs the app in uvicorn, with housekeeping beside it, until a signal."""
    services = services_of(app)
    server = Server(build_asgi(settings, app), services.stopping)
    if strays := sweep(settings.scratch_dir):
        log.info("swept uploads of a killed server files=%d", strays)
    with housekeeping(settings, services.queue, services.storage, services.metrics):
        server.run(listener)


def build_app(
    settings: Settings, *, queue: Queue | None = None, storage: Storage | None = None, probe: Probe | None = None
) -> Flask:
    """Queue, storage and probe are built from the settings unless given."""
    metrics = Metrics()
    queue = queue or build_queue(settings, timeout_seconds=REDIS_TIMEOUT_SECONDS, observer=metrics)
    storage = storage or build_storage(settings, timeout_seconds=STORAGE_TIMEOUT_SECONDS, parts_at_once=1)
    metrics.watch_queue(queue)
    return create_app(
        build_services(settings, queue, storage, probe or build_probe(settings), metrics),
        AccessControl(
            settings.api_keys, build_quotas(settings, queue), queue, Shares(queue.redis), metrics.note_refused
        ),
        cors_origins=settings.cors_origins,
        trusted_proxies=settings.trusted_proxies,
    )


def build_asgi(settings: Settings, app: Flask) -> AsgiServer:
    limits = Limits(
        threads=settings.threads,
        connections=settings.max_connections,
        header_seconds=settings.header_seconds,
        slow_seconds=settings.slow_client_seconds,
        slow_bytes_per_second=settings.slow_client_bytes_per_second,
        requests=settings.max_requests_per_caller,
    )
    metrics = services_of(app).metrics
    context = ServerContext(
        app, limits, RECEIVERS, keys=settings.api_keys, dropped=metrics.note_dropped, answered_alive=metrics.note_alive
    )
    return AsgiServer(context, trusted_proxies=settings.trusted_proxies)


def build_quotas(settings: Settings, queue: Queue) -> Quotas:
    return Quotas(
        queue.redis,
        posts_per_minute=settings.rate_limit_per_minute,
        audio_minutes=settings.daily_audio_minutes,
        max_waiting=settings.max_queue,
        max_songs=settings.max_songs_per_caller,
    )


def build_options(settings: Settings) -> ApiOptions:
    return ApiOptions(
        model=settings.model,
        allowed_models=settings.allowed_models,
        qualities=settings.qualities,
        max_upload_bytes=settings.max_upload_bytes,
        max_duration_seconds=settings.max_duration_seconds,
        scratch_dir=settings.scratch_dir,
        retention_hours=settings.retention_hours,
        share_days=settings.share_days,
        debug_endpoints=settings.debug_endpoints,
        callback_targets=build_target_policy(settings),
        sources=build_source_policy(settings) if settings.fetch else None,
        all_models=settings.all_models,
        licence_rule=settings.licence_rule,
    )


def build_services(settings: Settings, queue: Queue, storage: Storage, probe: Probe, metrics: Metrics) -> Services:
    waiting = settings.threads // 2  # the other half stays free for other calls
    fetches, mixes = build_fetches(settings, queue.redis, metrics), build_mixes(settings, queue.redis, metrics)
    return Services(
        options=build_options(settings),
        queue=queue,
        fetches=fetches,
        mixes=mixes,
        song_mixes=SongMixes(mixes, storage),
        shares=Shares(queue.redis),
        batches=build_batches(settings, queue, fetches),
        songs=SongList(queue.redis),
        storage=storage,
        uploads=build_uploads(settings, queue.redis, storage),
        probe=probe,
        metrics=metrics,
        callbacks=Outbox(queue.redis),
        answers=Answers(queue.redis),
        store_links=StoreLinks(
            settings.s3_public_url,
            settings.minio_access_key,
            settings.minio_secret_key,
            seconds=settings.s3_link_seconds,
        ),
        store_check=StoreCheck(storage.check),
        base64_gate=ConcurrencyLimit(
            BASE64_BODIES,
            share=BASE64_BODIES,
            waiting=waiting,
            wait_seconds=BASE64_WAIT_SECONDS,
            what="base64 decodings",
        ),
        # a probe is a process: a burst of uploads must not become a burst of processes
        probe_gate=ConcurrencyLimit(
            PROBES,
            share=PROBES_PER_CALLER,
            waiting=waiting,
            wait_seconds=PROBE_TIMEOUT_SECONDS,
            what="song probes",
        ),
        # a stream occupies a connection, not a thread, and polls its job's record
        events_gate=StreamLimit(settings.max_connections // CONNECTIONS_PER_STREAM, what="event streams"),
    )
