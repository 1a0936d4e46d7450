"""The songs before a waiting song: a bounded number of running and waiting jobs is examined. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msaas.jobs import Job
from msaas.queue.keys import PROCESSING, WAITING
from msaas.redis_client import answers

MAX_EXAMINED = 50  # running songs, and as many ahead; each event stream reads a view twice a second
FIELDS = ("state", "model", "options", "upload", "progress", "started_ms")


@dataclass(frozen=True)
class QueueAhead:
    """The records examined, and the numbers beyond them."""

    in_work: Sequence[Job] = ()
    ahead: Sequence[Job] = ()
    more_in_work: int = 0
    more_ahead: int = 0


NOTHING_AHEAD = QueueAhead()


def queue_ahead(redis: Any, position: int) -> QueueAhead:
    """`position`: songs ahead. A damaged record counts as a song of unknown length. Raises RedisError."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.lrange(PROCESSING, 0, MAX_EXAMINED - 1).llen(PROCESSING).lrange(WAITING, 0, MAX_EXAMINED - 1)
        in_work, all_in_work, waiting = pipe.execute()
    ahead = waiting[:position]
    found = _records(redis, [*in_work, *ahead])
    return QueueAhead(
        found[: len(in_work)], found[len(in_work) :], all_in_work - len(in_work), max(0, position - len(ahead))
    )


def _records(redis: Any, songhashes: Sequence[str]) -> tuple[Job, ...]:
    with redis.pipeline(transaction=False) as pipe:
        for songhash in songhashes:
            pipe.hmget(f"job:{songhash}", FIELDS)
        found = answers(pipe, otherwise=[None] * len(FIELDS))
    return tuple(_job(songhash, values) for songhash, values in zip(songhashes, found, strict=True))


def _job(songhash: str, values: Sequence[str | None]) -> Job:
    """A song pushed by hand has no record yet."""
    return Job.from_hash(songhash, {name: value for name, value in zip(FIELDS, values, strict=True) if value})
