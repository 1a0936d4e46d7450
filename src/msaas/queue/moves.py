"""Runs the queue's Lua scripts, each a move of one job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from redis import Redis

from msaas import failpoints
from msaas.errors import QueueUnavailable
from msaas.queue import scripts
from msaas.redis_client import redis_errors

REPLICA_MS = 1000  # for a replica to have what was written
AT_ONCE = 100  # moves a round trip: other clients wait for a few milliseconds

Arguments = Sequence[str | int | float]


class Moves:
    """Raises QueueUnavailable if Redis does not respond, or if fewer `replicas` than asked for have what was written,
    which stays written."""

    def __init__(self, redis: Redis, names: Iterable[str], keys: Sequence[str]) -> None:
        self._redis: Any = redis
        self._keys = keys
        self._scripts = {name: scripts.load(redis, f"jobs/{name}") for name in names}

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
