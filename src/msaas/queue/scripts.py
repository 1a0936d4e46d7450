"""Loads the Lua scripts, each with its folder's shared fragments before it, and runs those that move a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any

from redis import Redis

from msaas import failpoints
from msaas.errors import QueueUnavailable
from msaas.redis_client import redis_errors

REPLICA_MS = 1000  # for a replica to have what was written
AT_ONCE = 100  # moves a round trip: other clients wait for a few milliseconds

Arguments = Sequence[str | int | float]

# folder of lua/ ▸ fragments concatenated before each of its scripts, in this order
FRAGMENTS = {
    "jobs": ("types", "clock", "callbacks/outbox", "quotas/window", "jobs/turns", "jobs/common"),
    "callbacks": ("types", "clock", "callbacks/outbox", "callbacks/ending"),
    "quotas": ("types", "clock", "quotas/window"),
    "workers": ("types", "clock"),
    "idempotency": ("types", "clock"),
    "uploads": ("types", "clock", "uploads/common"),
}


def load(redis: Redis, name: str) -> Any:
    """The script `<folder>/<name>`, called with `keys` and `args`. It is sent to Redis once, then its hash."""
    return redis.register_script(source(name))


def source(name: str) -> str:
    folder = resources.files(__package__) / "lua"
    parts = (*FRAGMENTS[name.partition("/")[0]], name)
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)


class Moves:
    """Raises QueueUnavailable if Redis does not respond, or if fewer `replicas` than asked for have what was written,
    which stays written."""

    def __init__(self, redis: Redis, names: Iterable[str], keys: Sequence[str]) -> None:
        self._redis: Any = redis
        self._keys = keys
        self._scripts = {name: load(redis, f"jobs/{name}") for name in names}

    def run(self, script: str, *args: str | int | float, replicas: int = 0) -> Any:
        if replicas:
            [answer] = self.run_all(script, [args], replicas=replicas)
            return answer
        failpoints.hit(f"before-{script}")
        with redis_errors():
            answer = self._scripts[script](keys=self._keys, args=args)
        failpoints.hit(f"after-{script}")
        return answer

    def run_all(self, script: str, calls: Sequence[Arguments], *, replicas: int = 0) -> Iterator[Any]:
        """The answer for each of these arguments, in their order; AT_ONCE moves are one round trip."""
        for start in range(0, len(calls), AT_ONCE):
            yield from self._page(script, calls[start : start + AT_ONCE], replicas)

    def _page(self, script: str, calls: Sequence[Arguments], replicas: int) -> list[Any]:
        failpoints.hit(f"before-{script}")
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for args in calls:
                self._scripts[script](keys=self._keys, args=args, client=pipe)
            if replicas:
                pipe.execute_command("WAIT", replicas, REPLICA_MS)  # about this connection
            found: list[Any] = pipe.execute()
        if replicas and (confirmed := found.pop()) < replicas:
            raise QueueUnavailable(f"{confirmed} of {replicas} replicas of the queue (Redis) have it: try again")
        failpoints.hit(f"after-{script}")
        return found
