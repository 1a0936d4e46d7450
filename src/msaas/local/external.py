"""Waits for a Redis or a store that is managed elsewhere. Neither starts nor stops it."""

from __future__ import annotations

from collections.abc import Callable

from msaas.errors import Unavailable
from msaas.local.plan import StackComponents
from msaas.local.processes.stack import wait_for
from msaas.local.servers import OnLine, StartFailed
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_storage

TIMEOUT_SECONDS = 3.0


def wait_for_external(components: StackComponents, report: OnLine, stopping: Callable[[], bool]) -> None:
    """Raises StartFailed if one does not answer in time, Interrupted if `stopping()` returns True first."""
    settings, local_servers = Settings.from_env(components.environ), {server.name for server in components.servers}
    limit_seconds = components.external_limit_seconds
    if "valkey" not in local_servers:
        queue = build_queue(settings, timeout_seconds=TIMEOUT_SECONDS)
        _wait_for_answer(f"REDIS_HOST={settings.redis_host}", queue.ping, limit_seconds, stopping)
        report(f"using the external redis at REDIS_HOST={settings.redis_host}")
    if "s3" not in local_servers:
        storage = build_storage(settings, timeout_seconds=TIMEOUT_SECONDS)
        _wait_for_answer(f"MINIO_HOST={settings.minio_host}", storage.ping, limit_seconds, stopping)
        report(f"using the external s3 at MINIO_HOST={settings.minio_host}")


def _wait_for_answer(what: str, ask: Callable[[], None], limit_seconds: float, stopping: Callable[[], bool]) -> None:
    last_error = "no answer"

    def answers() -> bool:
        nonlocal last_error
        try:
            ask()
        except Unavailable as error:
            last_error = str(error)
            return False
        return True

    if not wait_for(answers, limit_seconds, stopping):
        raise StartFailed(f"{what} is not usable after {limit_seconds:g} seconds: {last_error}")
