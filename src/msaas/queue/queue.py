"""The Redis list `toWorkers` with leases, fences, attempts and dead letters. Knows records, not audio or HTTP.

Every move is one Lua script (lua/jobs/, key schema atop common.lua), so that a crash between two steps loses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from redis import Redis

from msaas import failpoints
from msaas.errors import Conflict, QueueFull, QuotaExceeded
from msaas.fields import Fields, json_object
from msaas.jobs import RECORD_BROKEN, Job, State, parse_state, record_json
from msaas.queue import scripts
from msaas.queue.keys import DEAD, KEYS, MODELS, PACE, PROCESSING, WAITING
from msaas.queue.lost_jobs import strays
from msaas.queue.observer import QueueObserver
from msaas.queue.pace import weight_of
from msaas.queue.position import QueueAhead, look
from msaas.queue.records import ANYHOW, Admission, Claim, Counts, Submitted
from msaas.queue.worker_registry import Worker, WorkerRegistry, Workers
from msaas.redis_client import answers, redis_errors, unless_damaged

log = logging.getLogger(__name__)

SCRIPTS = ("submit", "claim", "renew", "finish", "fail", "release", "reap", "cancel", "replay", "retire", "mend")

NO_CALLBACK = ("",) * 5

# Longer than a store may take to answer twice; a part that dies in the midst of it leaves the song locked as long.
RETIRE_SECONDS = 120
SCAN_COUNT = 1000

WORKER_LOST = {
    "code": "worker_lost",
    "detail": "the worker was lost in mid-job (killed, out of memory, or its machine went away) on every attempt",
}
OVERWRITTEN = {"state": ""}  # how a record reads that is of another type: its state is none
TOO_MANY_ATTEMPTS = {"code": "too_many_attempts", "detail": "the job used up its attempts"}


class Queue:
    """The moves of a job. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(
        self, redis: Redis, *, lease_seconds: float = 30, max_attempts: int = 3, observer: QueueObserver | None = None
    ) -> None:
        self.redis: Any = redis  # its stubs speak of bytes; decode_responses gives str
        self.lease_ms = int(lease_seconds * 1000)
        self.max_attempts = max_attempts
        self.observer = observer or QueueObserver()
        self._offers = WorkerRegistry(redis)
        self._scripts = {name: scripts.load(redis, f"jobs/{name}") for name in SCRIPTS}

    def _run(self, script: str, *args: str | int | float) -> Any:
        failpoints.hit(f"before-{script}")
        with redis_errors():
            answer = self._scripts[script](keys=KEYS, args=args)
        failpoints.hit(f"after-{script}")
        return answer

    def _observe(self, hook: Callable[..., None], *facts: Any, **more: Any) -> None:
        """The job has moved already: its caller must not think otherwise."""
        try:
            hook(*facts, **more)
        except Exception:
            log.exception("not counted")

    def ping(self) -> None:
        with redis_errors():
            self.redis.ping()

    # --- the API's moves

    def submit(
        self,
        songhash: str,
        fields: Mapping[str, str],
        *,
        stems_missing: bool = False,
        callback: Sequence[str] = NO_CALLBACK,
        admission: Admission = ANYHOW,
    ) -> Submitted:
        """Queues a song that is stored already. A known one stays as it is, unless its stems are missing.

        `callback` is a Posting's `args`, noted in the same step. Raises Conflict where too many wait already for the
        song, QuotaExceeded where the account's take too much room. Only a new song is charged, or meets a bound of
        songs and audio: QueueFull, QuotaExceeded.
        """
        outcome, state = self._run("submit", songhash, int(stems_missing), *callback, *admission.args, *_flat(fields))
        if outcome == "full":
            raise Conflict(f"too many callbacks wait for job {songhash} already (1000); post again once it has ended")
        if outcome == "heavy":
            raise QuotaExceeded.of_callbacks()
        if outcome == "crowded":
            raise QueueFull(f"{admission.most_waiting} songs wait already, the limit here; try again later")
        if outcome == "greedy":
            raise QuotaExceeded.of_songs(admission.most_open)
        if outcome in ("over", "reserved"):
            asked = (admission.audio_limit_seconds, admission.audio_seconds, int(state))
            raise QuotaExceeded.of_audio(*asked, reserved=outcome == "reserved")
        if outcome == "queued":
            self._observe(self.observer.submitted, fields)
        return Submitted(outcome == "queued", parse_state(state) or State.FAILED)

    def cancel(self, songhash: str) -> State | None:
        """The state the job was found in, None where it is unknown. Queued and running jobs are cancelled now."""
        found = self._run("cancel", songhash)
        state = None if found == "unknown" else parse_state(found) or State.FAILED
        if state in (State.QUEUED, State.RUNNING):
            self._observe(self.observer.cancelled)
        return state

    def get(self, songhash: str) -> Job | None:
        key = f"job:{songhash}"
        record, waits = unless_damaged(lambda: self.redis.hgetall(key), OVERWRITTEN), None
        if not record:  # again, in one step with the list: one pushed by hand may have been claimed just now
            with redis_errors(), self.redis.pipeline() as pipe:
                record, waits = answers(pipe.hgetall(key).lpos(WAITING, songhash))
        if record:
            return Job.from_hash(songhash, record)
        return None if waits is None else Job(songhash, State.QUEUED)

    def tenant_of(self, songhash: str) -> str | None:
        """Whose job it is; empty where nobody's key posted it, None where there is no record."""
        key = f"job:{songhash}"
        tenant, state = unless_damaged(lambda: self.redis.hmget(key, "tenant", "state"), (None, None))
        return None if state is None else tenant or ""

    def position(self, songhash: str) -> int | None:
        """Songs ahead of this one; None where it does not wait."""
        with redis_errors():
            position = self.redis.lpos(WAITING, songhash)
        return position if isinstance(position, int) else None

    def waiting(self, offset: int = 0, limit: int = 1000) -> list[str]:
        with redis_errors():
            return list(self.redis.lrange(WAITING, offset, offset + limit - 1))

    def in_work(self, limit: int = 1000) -> list[str]:
        with redis_errors():
            return list(self.redis.lrange(PROCESSING, 0, limit - 1))

    def dead(self, limit: int = 1000) -> list[str]:
        """The latest to be given up, newest first."""
        with redis_errors():
            return list(reversed(self.redis.lrange(DEAD, -limit, -1)))

    def counts(self) -> Counts:
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.llen(WAITING).llen(PROCESSING).llen(DEAD)
            return Counts(*pipe.execute())

    def pace(self) -> dict[str, float]:
        """Moving averages: `seconds_per_job`, and `seconds_per_audio_second`, which weighs songs by their length.

        Empty before the first job is done. `run_seconds` and `audio_seconds` are the sums that the latter is made of.
        """
        found = unless_damaged(lambda: self.redis.hgetall(PACE), {})
        pace = {name: Fields(found).amount(name) for name in found}
        return {name: value for name, value in pace.items() if value is not None}

    def line(self, position: int) -> QueueAhead:
        """What is in work, and ahead of a song at this position."""
        with redis_errors():
            return look(self.redis, position)

    # --- the worker's moves

    def wait(self, seconds: float) -> bool:
        """Waits until a song waits. The move from the list's head to its head changes nothing and wakes on any push."""
        with redis_errors():
            return self.redis.blmove(WAITING, WAITING, seconds, "LEFT", "LEFT") is not None

    def claim(self, worker: str, models: Sequence[str] = ()) -> Claim | None:
        """Takes the first song that the worker runs, any where it names no models; None where none waits."""
        errors = record_json(TOO_MANY_ATTEMPTS), record_json(RECORD_BROKEN)
        answer = ["", "0"]
        while len(answer) == 2:  # where the look before this one ended
            answer = self._run("claim", worker, self.lease_ms, self.max_attempts, *errors, answer[1], *models)
        if not answer:
            return None
        songhash, fence, *pairs = answer
        record = dict(zip(pairs[::2], pairs[1::2], strict=True))
        claim = Claim(songhash, fence, Job.from_hash(songhash, record))
        self._observe(self.observer.claimed, claim)
        return claim

    def renew(self, claim: Claim, fields: Mapping[str, str] | None = None) -> str:
        """`kept`, or the state of a job that is no longer this claim's (`cancelled`, `queued`, …, `unknown`)."""
        return str(self._run("renew", claim.songhash, claim.fence, self.lease_ms, *_flat(fields or {})))

    def finish(self, claim: Claim, result: Mapping[str, Any], audio_seconds: float) -> bool:
        """False where the job was no longer this claim's: nothing has changed."""
        weight = weight_of(audio_seconds)
        accepted = bool(self._run("finish", claim.songhash, claim.fence, record_json(result), weight))
        if accepted:
            self._observe(self.observer.finished, result, audio_seconds)
        return accepted

    def fail(self, claim: Claim, error: Mapping[str, Any], *, retry: bool) -> str:
        """`queued` (another run follows), `failed`, or `` where the job was no longer this claim's."""
        args = (record_json(error), int(retry), self.max_attempts)
        outcome = str(self._run("fail", claim.songhash, claim.fence, *args))
        if outcome:
            self._observe(self.observer.failed, final=outcome == State.FAILED)
        return outcome

    def release(self, claim: Claim) -> bool:
        """Back to the head of the list, the attempt not charged. False where it was no longer this claim's."""
        released = bool(self._run("release", claim.songhash, claim.fence))
        if released:
            self._observe(self.observer.released)
        return released

    def claims_of(self, worker: str) -> list[Claim]:
        """What is in work under a worker's name: a claim whose answer got lost is found again here."""
        jobs = (self.get(songhash) for songhash in self.in_work())
        mine = (job for job in jobs if job is not None and job.worker == worker and job.state is State.RUNNING)
        return [Claim(job.songhash, str(job.fence), job) for job in mine]

    def announce(self, worker: Worker) -> None:
        """A worker's word that it lives and what it runs; good for OFFER_SECONDS."""
        with redis_errors():
            self._offers.announce(worker)

    def withdraw(self, name: str) -> None:
        with redis_errors():
            self._offers.withdraw(name)

    # --- anyone's moves

    def workers(self) -> Workers:
        """Those that live, and what they offer."""
        with redis_errors():
            return self._offers.workers()

    def reap(self) -> dict[str, str]:
        """Requeues or buries what lost its worker; songhash ▸ `queued` or `failed`."""
        errors = record_json(WORKER_LOST), record_json(RECORD_BROKEN)
        answer = self._run("reap", self.max_attempts, self.lease_ms, *errors)
        outcomes = dict(zip(answer[::2], answer[1::2], strict=True))
        self._observe(self.observer.reaped, outcomes)
        return outcomes

    def repair(self) -> dict[str, str]:
        """Puts right what stands in no list although its record says that it waits or runs; songhash ▸ its state.

        Walks all of Redis' keys, a thousand at a time.
        """
        error = record_json(RECORD_BROKEN)
        looked = {songhash: self._run("mend", songhash, self.lease_ms, error) for songhash in strays(self.redis)}
        return {songhash: str(state) for songhash, state in looked.items() if state}

    def replay(self, songhash: str) -> bool:
        """A dead job waits again, its attempts all its own. False where it is not among the dead."""
        return bool(self._run("replay", songhash))

    def states(self, songhashes: Sequence[str]) -> list[State | None]:
        """None where there is no record, FAILED where it is damaged."""
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            for songhash in songhashes:
                pipe.hget(f"job:{songhash}", "state")
            states = answers(pipe, otherwise="")
        return [None if state is None else parse_state(state) or State.FAILED for state in states]

    # --- forgetting

    def hold(self, songhash: str, seconds: float) -> bool:
        """Keeps a song from being retired for so long. False where it is being retired: what is stored of it goes."""
        with redis_errors(), self.redis.pipeline() as pipe:
            pipe.set(f"held:{songhash}", "1", px=int(seconds * 1000)).exists(f"retiring:{songhash}")
            return not pipe.execute()[1]

    def ended_before(self, seconds: float) -> Iterator[str]:
        """Jobs that ended at least so long ago, in no order. Walks all of Redis' keys, a thousand at a time."""
        cursor = 0
        while True:
            with redis_errors():
                cursor, keys = self.redis.scan(cursor, match="job:*", count=SCAN_COUNT, _type="hash")
            yield from self._ended_before(seconds, [key.removeprefix("job:") for key in keys])
            if not cursor:
                return

    def _ended_before(self, seconds: float, songhashes: list[str]) -> list[str]:
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for songhash in songhashes:
                pipe.hmget(f"job:{songhash}", "state", "finished_ms")
            clock, *records = answers(pipe, otherwise=(None, None))
        pairs, latest = zip(songhashes, records, strict=True), clock[0] - seconds
        return [name for name, (state, ms) in pairs if _had_ended(state, ms, latest)]

    def retire(self, songhash: str, seconds: float | None = None) -> str:
        """`forgotten`: it ended so long ago, and its record is gone; `unrecorded`: there was none; `` left as it is.

        Unless it was left, nobody begins with the song until `retired` is called, or RETIRE_SECONDS have passed.
        """
        age_ms = -1 if seconds is None else int(seconds * 1000)
        outcome = str(self._run("retire", songhash, age_ms, RETIRE_SECONDS * 1000))
        if outcome == "forgotten":
            self._observe(self.observer.retired)
        return outcome

    def retired(self, songhash: str) -> None:
        with redis_errors():
            self.redis.delete(f"retiring:{songhash}")

    def publish_model(self, name: str, description: Mapping[str, Any]) -> None:
        """Notes what a model separates, so that the API can check stems without loading it."""
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.type(MODELS).hset(MODELS, name, record_json(description))
            if answers(pipe)[0] not in ("hash", "none"):  # overwritten: what it held is told anew by each worker
                self.redis.delete(MODELS)
                self.redis.hset(MODELS, name, record_json(description))

    def model_sources(self, name: str) -> tuple[str, ...] | None:
        """The stems of a model, as a worker that loaded it told; None before any has."""
        text = unless_damaged(lambda: self.redis.hget(MODELS, name), None)
        return _sources_in(text) if text else None


def _had_ended(state: str | None, finished_ms: str | None, latest: float) -> bool:
    known, finished = parse_state(state), Fields({"at": finished_ms or ""}).seconds("at")
    return known is not None and known.ended and finished is not None and finished <= latest


def _sources_in(description: str) -> tuple[str, ...] | None:
    try:
        sources = json_object(description).get("sources")
    except ValueError:
        return None
    return tuple(map(str, sources)) if isinstance(sources, list) else None


def _flat(fields: Mapping[str, str]) -> Sequence[str]:
    return [text for pair in fields.items() for text in pair]
