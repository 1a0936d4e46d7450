"""A Redis or a store that runs already: waited for, then used. Neither started nor stopped."""

from __future__ import annotations

from collections.abc import Callable

from msaas.errors import Unavailable
from msaas.local.plan import StackParts
from msaas.local.processes.stack import wait_for
from msaas.local.servers import OnLine, StartFailed
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_storage

TIMEOUT_SECONDS = 3.0


def await_external(assembly: StackParts, say: OnLine, stopping: Callable[[], bool]) -> None:
    """Raises StartFailed where one does not answer in time, Interrupted where `stopping()` came first."""
    settings, ours = Settings.from_env(assembly.environ), {server.name for server in assembly.servers}
    limit_seconds = assembly.external_limit_seconds
    if "valkey" not in ours:
        queue = build_queue(settings, timeout_seconds=TIMEOUT_SECONDS)
        _await_answer(f"REDIS_HOST={settings.redis_host}", queue.ping, limit_seconds, stopping)
        say(f"redis is not started here: REDIS_HOST={settings.redis_host} is used")
    if "s3" not in ours:
        storage = build_storage(settings, timeout_seconds=TIMEOUT_SECONDS)
        _await_answer(f"MINIO_HOST={settings.minio_host}", storage.ping, limit_seconds, stopping)
        say(f"s3 is not started here: MINIO_HOST={settings.minio_host} is used")


def _await_answer(what: str, ask: Callable[[], None], limit_seconds: float, stopping: Callable[[], bool]) -> None:
    trouble = "no answer"

    def answers() -> bool:
        nonlocal trouble
        try:
            ask()
        except Unavailable as error:
            trouble = str(error)
            return False
        return True

    if not wait_for(answers, limit_seconds, stopping):
        raise StartFailed(f"{what} is not usable, after {limit_seconds:g} seconds of trying: {trouble}")
