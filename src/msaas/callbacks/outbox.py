"""Stores posted callbacks in Redis: add, take under a lease, settle, list, replay. Sends nothing.

The key schema is at the top of queue/lua/callbacks/outbox.lua: scripts that end a job fill the outbox in the same step.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from msaas import failpoints
from msaas.callbacks.schedule import Verdict
from msaas.errors import InvalidOption
from msaas.fields import MAX_TIME_MS, Fields, canonical_json
from msaas.jobs import Job
from msaas.outbound.targets import Target
from msaas.queue import scripts
from msaas.redis_client import answers, redis_errors, unless_damaged

DATA_LIMIT_BYTES = 16384
SHOWN = 20  # newest callbacks in a job's view
ENDED = ("delivered", "failed", "refused")
PAGE = 500
SCRIPTS = ("take", "settle", "replay", "adopt")


@dataclass(frozen=True)
class CallbackRequest:
    """A callback as posted with a request. The id becomes `webhook-id`, the same at each attempt."""

    id: str
    url: str = field(repr=False)
    data: str = field(repr=False)  # JSON
    origin: str = ""

    @classmethod
    def new(cls, target: Target, url: str, data: Any) -> CallbackRequest:
        """Raises InvalidOption if `data` is too large or too deeply nested."""
        return cls(f"msg_{secrets.token_hex(16)}", url, _data_json(data), target.origin)

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.url}\n{self.data}".encode()).hexdigest()

    @property
    def args(self) -> tuple[str, str, str, str, str]:
        """Arguments for submit.lua."""
        return (self.id, self.digest, self.url, self.data, self.origin)


NO_CALLBACK_ARGS = ("", "", "", "", "")


def _data_json(data: Any) -> str:
    try:
        text = canonical_json(data)
    except RecursionError as error:
        raise InvalidOption("callback.data is nested too deeply") from error
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > DATA_LIMIT_BYTES:
        raise InvalidOption(f"callback.data has {size} bytes as JSON; the limit is {DATA_LIMIT_BYTES}")
    return text


@dataclass(frozen=True)
class Callback:
    """One entry of the outbox. Times are ms since 1970 by Redis' clock; `due_ms` is None once it has ended."""

    id: str
    songhash: str
    state: str  # waiting ▸ pending ▸ delivered | failed | refused
    origin: str
    attempts: int
    url: str = field(repr=False)
    data: str = field(repr=False)
    owner: str = ""  # the caller that posted it
    last_error: str = ""
    token: str = ""
    snapshot: Mapping[str, str] = field(default_factory=dict, repr=False)
    posted_ms: int = 0
    ended_ms: int | None = None
    due_ms: int | None = None

    @classmethod
    def from_hash(cls, id_: str, record: Mapping[str, str], due: float | None = None) -> Callback:
        """Never raises: unreadable fields get their defaults."""
        fields = Fields(record)
        return cls(
            id=id_,
            songhash=fields.text("songhash"),
            state=fields.text("state"),
            origin=fields.text("origin"),
            attempts=fields.count("attempts"),
            url=fields.text("url"),
            data=fields.text("data", "null"),
            owner=fields.text("owner"),
            last_error=fields.text("last_error"),
            token=fields.text("token"),
            snapshot={name: str(text) for name, text in (fields.mapping("snapshot") or {}).items()},
            posted_ms=fields.milliseconds("posted_ms") or 0,
            ended_ms=fields.milliseconds("ended_ms"),
            due_ms=int(due) if due is not None and 0 <= due <= MAX_TIME_MS else None,
        )

    @property
    def job(self) -> Job:
        """The job as it ended."""
        return Job.from_hash(self.songhash, self.snapshot)


class Outbox:
    """Every method raises QueueUnavailable if Redis does not answer."""

    def __init__(self, redis: Redis, *, lease_seconds: float = 60) -> None:
        self.redis: Any = redis  # its stubs return bytes; with decode_responses it returns str
        self.lease_seconds = lease_seconds
        self._scripts = {name: scripts.load(redis, f"callbacks/{name}") for name in SCRIPTS}

    def _run(self, script: str, *args: str | int) -> Any:
        failpoints.hit(f"before-callback-{script}")
        with redis_errors():
            answer = self._scripts[script](args=args)
        failpoints.hit(f"after-callback-{script}")
        return answer

    def take(
        self, count: int, *, limit: int, share: int | None = None, in_flight: Collection[tuple[str, str]] = ()
    ) -> list[Callback]:
        """Takes up to `count` due callbacks, owners in turn; `limit` is the number of attempts.

        `in_flight`: owner and origin of each callback that this process is sending. No origin gets a second one, and no
        owner more than its `share`.
        """
        token, lease_ms = secrets.token_hex(8), int(self.lease_seconds * 1000)
        flat = (text for pair in in_flight for text in pair)
        answer = self._run("take", token, lease_ms, limit, count, count if share is None else share, *flat)
        return [Callback.from_hash(id_, _pairs_to_dict(flat)) for id_, *flat in answer]

    def settle(self, taken: Callback, verdict: Verdict, error: str) -> bool:
        """Returns False if the lease expired meanwhile: nothing has changed."""
        wait_ms = int(verdict.wait_seconds * 1000)
        return bool(self._run("settle", taken.id, taken.token, verdict.state, wait_ms, error))

    def replay(self, id_: str) -> str:
        """Returns the previous state: `` (unknown) and `waiting` change nothing, any other is sent now."""
        return str(self._run("replay", id_))

    def adopt(self) -> int:
        """Adds due callbacks to their owners' outboxes where missing; returns how many were missing."""
        cursor, adopted = 0, 0
        while True:
            with redis_errors():
                cursor, found = self.redis.zscan("callbacks", cursor, count=PAGE)
            if found:
                adopted += self._run("adopt", *(id_ for id_, _ in found))
            if not cursor:
                return adopted

    def get(self, id_: str) -> Callback | None:
        found = self._read([id_])
        return found[0] if found else None

    def of(self, songhash: str, limit: int = SHOWN) -> list[Callback]:
        """The callbacks posted for a song, newest first."""
        ids = unless_damaged(lambda: self.redis.lrange(f"callbacks:of:{songhash}", 0, limit - 1), [])
        return self._read(ids) if ids else []

    def all(self) -> Iterator[Callback]:
        """All stored callbacks, unordered. Scans all of Redis' keys: for commands, not for requests."""
        with redis_errors():
            for key in self.redis.scan_iter("callback:*", count=1000):
                yield from self._read([key.removeprefix("callback:")])

    def _read(self, ids: list[str]) -> list[Callback]:
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.hgetall(f"callback:{id_}").zscore("callbacks", id_)
            answer = answers(pipe)
        rows = zip(ids, answer[::2], answer[1::2], strict=True)
        return [Callback.from_hash(id_, record, due) for id_, record, due in rows if record]


def _pairs_to_dict(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
