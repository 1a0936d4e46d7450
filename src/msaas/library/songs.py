"""Reads the sorted set `songs:<tenant>`, which lua/jobs/ writes: songhash ▸ when it was posted, in ms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from msaas.errors import InvalidOption
from msaas.jobs import Job, State
from msaas.redis_client import answers, redis_errors

SONGS = "songs:"
BATCH = 200
MAX_READ = 5000  # records of one page: a search may find few
_PLACE = re.compile(r"(\d{1,16})-([0-9a-f-]{36})")


@dataclass(frozen=True)
class Filter:
    """`state`: only jobs in it. `text`: only those with it in their name or tags, whatever the case."""

    state: State | None = None
    text: str = ""

    def takes(self, job: Job) -> bool:
        if self.state is not None and job.state is not self.state:
            return False
        words = " ".join([job.name, *job.tags.values()])
        return self.text.casefold() in words.casefold()


@dataclass(frozen=True)
class Page:
    """`next`: where the next page begins; empty after the last. It may follow a page that is not full, or empty."""

    jobs: tuple[Job, ...]
    next: str = ""


class SongList:
    """Raises QueueUnavailable if Redis does not respond."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def page(self, tenant: str, limit: int, *, before: str = "", only: Filter | None = None) -> Page:
        """At most `limit` jobs of the tenant, those posted last first. `before`: a page's `next`.

        Raises InvalidOption for a `before` that no page had.
        """
        only = only or Filter()
        found: list[Job] = []
        read = 0
        for batch in self._batches(tenant, before):
            for place, job in batch:
                if len(found) == limit or read == MAX_READ:
                    return Page(tuple(found), place)
                read += 1
                if job is not None and only.takes(job):
                    found.append(job)
        return Page(tuple(found))

    def remove(self, job: Job) -> None:
        """A song that is posted again is listed again."""
        with redis_errors():
            self._redis.zrem(SONGS + job.tenant, job.songhash)

    def _batches(self, tenant: str, before: str) -> Iterator[list[tuple[str, Job | None]]]:
        """Each song's place and its job; None for a job that is not listed. Songs without a record are taken off."""
        key, start = SONGS + tenant, parse_place(before)
        highest, offset = ("(inf" if start is None else start[0]), 0
        while True:
            with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
                pipe.zrevrangebyscore(key, highest, "0", start=offset, num=BATCH, withscores=True)
                (entries,) = answers(pipe, otherwise=())
            if not entries:
                return
            offset += len(entries)
            places = [(int(posted_ms), songhash) for songhash, posted_ms in entries]
            places = [place for place in places if start is None or place <= start]
            jobs = self._jobs([songhash for _, songhash in places])
            offset -= self._take_off(key, [songhash for songhash, job in jobs.items() if job is None])
            yield [(f"{ms}-{songhash}", _listed(jobs[songhash])) for ms, songhash in places]

    def _jobs(self, songhashes: list[str]) -> Mapping[str, Job | None]:
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for songhash in songhashes:
                pipe.hgetall(f"job:{songhash}")
            records = answers(pipe, otherwise={"state": ""})
        pairs = zip(songhashes, records, strict=True)
        return {songhash: Job.from_hash(songhash, record) if record else None for songhash, record in pairs}

    def _take_off(self, key: str, songhashes: list[str]) -> int:
        """Of records that were deleted by hand, or that Redis lost. A song that is posted again comes back."""
        if not songhashes:
            return 0
        with redis_errors():
            return int(self._redis.zrem(key, *songhashes))


def parse_place(text: str) -> tuple[int, str] | None:
    """None for an empty text, the beginning. Raises InvalidOption."""
    if not text:
        return None
    if not (match := _PLACE.fullmatch(text)):
        raise InvalidOption(f"before={text[:60]!r} is not the `next` of a page")
    return int(match[1]), match[2]


def _listed(job: Job | None) -> Job | None:
    """A provisional job that leads to a song's job is not listed beside it."""
    return None if job is not None and job.leads_to else job
