"""Finds jobs that are in no list although their record says queued or running; repair.lua repairs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msaas.jobs import State, parse_state
from msaas.redis_client import answers, redis_errors

PAGE = 10_000
SCAN_COUNT = 1000


def unlisted_jobs(redis: Any, keys: Sequence[str]) -> Iterator[str]:
    """Candidates, to be checked again in one step: jobs move while all keys are scanned."""
    (list_, _, leases, *_), cursor = keys, 0
    waiting = _waiting(redis, list_)
    while True:
        with redis_errors():
            cursor, found = redis.scan(cursor, match="job:*", count=SCAN_COUNT, _type="hash")
        yield from _of(redis, [key.removeprefix("job:") for key in found], waiting, leases)
        if not cursor:
            return


def _waiting(redis: Any, list_: str) -> set[str]:
    found: set[str] = set()
    with redis_errors():
        for offset in range(0, redis.llen(list_), PAGE):
            found |= {entry.lower() for entry in redis.lrange(list_, offset, offset + PAGE - 1)}
    return found


def _of(redis: Any, songhashes: list[str], waiting: set[str], leases: str) -> Iterator[str]:
    with redis_errors(), redis.pipeline(transaction=False) as pipe:
        for songhash in songhashes:
            pipe.hget(f"job:{songhash}", "state").zscore(leases, songhash)
        found = answers(pipe)
    for songhash, state, lease in zip(songhashes, found[::2], found[1::2], strict=True):
        known = parse_state(state)
        if (known is None or known in (State.QUEUED, State.RUNNING)) and lease is None and songhash not in waiting:
            yield songhash
