"""The waiting list `toWorkers` with leases, fences, attempts and dead letters. Independent of audio and HTTP.

Every move is one Lua script (lua/jobs/; key schema in common.lua), so a crash between two steps loses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from redis import Redis

from msaas.fields import Fields, json_object
from msaas.jobs import ALL_STEMS, RECORD_BROKEN, Job, State, parse_state, record_json
from msaas.queue.keys import KEYS, MODELS
from msaas.queue.lost_jobs import unlisted_jobs
from msaas.queue.observer import QueueObserver
from msaas.queue.pace import weight_of
from msaas.queue.position import QueueAhead, queue_ahead
from msaas.queue.records import NO_CALLBACK, NO_LIMITS, Admission, Claim, Counts, Submission, Submitted, flat
from msaas.queue.scripts import Moves
from msaas.queue.worker_registry import Worker, WorkerRegistry, Workers
from msaas.redis_client import answers, redis_errors, unless_damaged

log = logging.getLogger(__name__)

SCRIPTS = (
    *("submit", "claim", "renew", "finish", "fail", "release", "lead", "reap", "cancel", "replay", "retire", "repair"),
    "removed",
)

# Longer than two timeouts of the store; a process that dies meanwhile leaves the song locked for this long.
RETIRE_SECONDS = 120
SCAN_COUNT = 1000

WORKER_LOST = {
    "code": "worker_lost",
    "detail": "the worker was lost in mid-job (killed, out of memory, or its machine went away) on every attempt",
}
OVERWRITTEN = {"state": ""}  # the record of a key of another type: its state is invalid
TOO_MANY_ATTEMPTS = {"code": "too_many_attempts", "detail": "the job used up its attempts"}


class Queue:
    """The moves of a job. Every method raises QueueUnavailable if Redis does not respond."""

    def __init__(
        self,
        redis: Redis,
        *,
        lease_seconds: float = 30,
        max_attempts: int = 3,
        replicas: int = 0,
        observer: QueueObserver | None = None,
        keys: Sequence[str] = KEYS,
    ) -> None:
        """`keys`: those of the songs' queue, or FETCH_KEYS. `replicas`: of Redis that must have what is submitted."""
        self.redis: Any = redis  # its stubs return bytes; with decode_responses it returns str
        self.keys = tuple(keys)
        self._waiting, self._processing, _, self._dead, _, self._pace = self.keys
        self.lease_ms = int(lease_seconds * 1000)
        self.max_attempts = max_attempts
        self.replicas = replicas
        self.observer = observer or QueueObserver()
        self._offers = WorkerRegistry(redis)
        self._moves = Moves(redis, SCRIPTS, self.keys)

    def _observe(self, hook: Callable[..., None], *facts: Any, **more: Any) -> None:
        """Calls an observer's hook. An error in it must not fail a move that has been made."""
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
        admission: Admission = NO_LIMITS,
    ) -> Submitted:
        """Queues a song that is already stored. A known one is unchanged, unless its stems are missing.

        `callback`: a CallbackRequest's `args`, added in the same step. Raises Conflict if too many callbacks wait for
        the song, QuotaExceeded if the account's take too much space. Only a new song is charged and subject to limits
        on songs and audio: QueueFull, QuotaExceeded.
        """
        song = Submission(songhash, fields, stems_missing, callback, admission)
        return self._submitted(song, self._moves.run("submit", *song.args, replicas=self.replicas))

    def submit_all(self, songs: Sequence[Submission]) -> None:
        """Queues many songs in few round trips. Raises what `submit` raises; then some of the songs are queued."""
        answers = self._moves.run_all("submit", [song.args for song in songs], replicas=self.replicas)
        for song, answer in zip(songs, answers, strict=True):
            self._submitted(song, answer)

    def _submitted(self, song: Submission, answer: Any) -> Submitted:
        found = song.accepted(answer)
        if found.new:
            self._observe(self.observer.submitted, song.fields)
        return found

    def cancel(self, songhash: str) -> State | None:
        """The previous state, None if unknown. Queued and running jobs are cancelled now."""
        return self._cancelled(self._moves.run("cancel", songhash))

    def cancel_all(self, songhashes: Sequence[str]) -> None:
        for found in self._moves.run_all("cancel", [(songhash,) for songhash in songhashes]):
            self._cancelled(found)

    def _cancelled(self, found: str) -> State | None:
        state = None if found == "unknown" else parse_state(found) or State.FAILED
        if state in (State.QUEUED, State.RUNNING):
            self._observe(self.observer.cancelled)
        return state

    def get(self, songhash: str) -> Job | None:
        key = f"job:{songhash}"
        record, waits = unless_damaged(lambda: self.redis.hgetall(key), OVERWRITTEN), None
        if not record:  # read again, in one step with the list: a song pushed by hand may have been claimed just now
            with redis_errors(), self.redis.pipeline() as pipe:
                record, waits = answers(pipe.hgetall(key).lpos(self._waiting, songhash))
        if record:
            return Job.from_hash(songhash, record)
        return None if waits is None else Job(songhash, State.QUEUED)

    def tenant_of(self, songhash: str) -> str | None:
        """The job's tenant; empty if posted without a key, None without a record."""
        key = f"job:{songhash}"
        tenant, state = unless_damaged(lambda: self.redis.hmget(key, "tenant", "state"), (None, None))
        return None if state is None else tenant or ""

    def position(self, songhash: str) -> int | None:
        """Songs ahead of this one; None if it does not wait."""
        with redis_errors():
            position = self.redis.lpos(self._waiting, songhash)
        return position if isinstance(position, int) else None

    def waiting(self, offset: int = 0, limit: int = 1000) -> list[str]:
        with redis_errors():
            return list(self.redis.lrange(self._waiting, offset, offset + limit - 1))

    def in_work(self, limit: int = 1000) -> list[str]:
        with redis_errors():
            return list(self.redis.lrange(self._processing, 0, limit - 1))

    def dead(self, limit: int = 1000) -> list[str]:
        """The latest dead jobs, newest first."""
        with redis_errors():
            return list(reversed(self.redis.lrange(self._dead, -limit, -1)))

    def counts(self) -> Counts:
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.llen(self._waiting).llen(self._processing).llen(self._dead)
            return Counts(*pipe.execute())

    def pace(self) -> dict[str, float]:
        """Moving averages: `seconds_per_job`, and `seconds_per_audio_second`, weighted by length.

        Empty before the first job is done. `run_seconds` and `audio_seconds` are the sums behind the latter. Each is
        there for all runs, and as `<name>:<model>` for those of each model (pace.run_name).
        """
        found = unless_damaged(lambda: self.redis.hgetall(self._pace), {})
        pace = {name: Fields(found).amount(name) for name in found}
        return {name: value for name, value in pace.items() if value is not None}

    def line(self, position: int) -> QueueAhead:
        """The running songs, and those ahead of a position."""
        with redis_errors():
            return queue_ahead(self.redis, position)

    # --- the worker's moves

    def wait(self, seconds: float) -> bool:
        """Blocks until a song waits. Moving the list's head to its head changes nothing and wakes up at any push."""
        with redis_errors():
            return self.redis.blmove(self._waiting, self._waiting, seconds, "LEFT", "LEFT") is not None

    def claim(
        self, worker: str, models: Sequence[str] = (), *, loaded: Sequence[str] = (), max_overtaking: int = 0
    ) -> Claim | None:
        """Claims the first song that the worker can run (any song without models); None if none waits.

        A song of one of the `loaded` models may overtake others; no song is overtaken by more than `max_overtaking`.
        """
        given: Sequence[str | int] = (max_overtaking, len(models), *models, *loaded)
        errors = record_json(TOO_MANY_ATTEMPTS), record_json(RECORD_BROKEN)
        answer = ["", "0"]
        while len(answer) == 2:  # continues where the last call ended
            answer = self._moves.run("claim", worker, self.lease_ms, self.max_attempts, *errors, answer[1], *given)
        if not answer:
            return None
        songhash, fence, *pairs = answer
        record = dict(zip(pairs[::2], pairs[1::2], strict=True))
        claim = Claim(songhash, fence, Job.from_hash(songhash, record))
        self._observe(self.observer.claimed, claim)
        return claim

    def renew(self, claim: Claim, fields: Mapping[str, str] | None = None) -> str:
        """`kept`, or the state of a job that no longer belongs to this claim (`cancelled`, `queued`, …, `unknown`)."""
        return str(self._moves.run("renew", claim.songhash, claim.fence, self.lease_ms, *flat(fields or {})))

    def finish(self, claim: Claim, result: Mapping[str, Any], audio_seconds: float) -> bool:
        """Returns False if the job no longer belongs to this claim: nothing has changed. `result["work"]` is
        Options.work, 1 if it is missing."""
        weight = weight_of(audio_seconds) * float(result.get("work", 1))
        accepted = bool(self._moves.run("finish", claim.songhash, claim.fence, record_json(result), weight))
        if accepted:
            self._observe(self.observer.finished, result, audio_seconds)
        return accepted

    def fail(self, claim: Claim, error: Mapping[str, Any], *, retry: bool) -> str:
        """`queued` (to be retried), `failed`, or `` if the job no longer belongs to this claim."""
        args = (record_json(error), int(retry), self.max_attempts)
        outcome = str(self._moves.run("fail", claim.songhash, claim.fence, *args))
        if outcome:
            self._observe(self.observer.failed, final=outcome == State.FAILED)
        return outcome

    def release(self, claim: Claim) -> bool:
        """Requeues the job at the head, without charging the attempt. Returns False if it no longer belongs to this
        claim."""
        released = bool(self._moves.run("release", claim.songhash, claim.fence))
        if released:
            self._observe(self.observer.released)
        return released

    def lead(self, claim: Claim, songhash: str) -> bool:
        """Ends a fetch: its provisional job leads to the song's job from now on, and its callbacks wait for that one.
        Returns False if the fetch no longer belongs to this claim: nothing has changed."""
        led = bool(self._moves.run("lead", claim.songhash, claim.fence, songhash))
        if led:
            self._observe(self.observer.fetched)
        return led

    def claims_of(self, worker: str) -> list[Claim]:
        """The running jobs of a worker: finds a claim whose answer was lost."""
        jobs = (self.get(songhash) for songhash in self.in_work())
        mine = (job for job in jobs if job is not None and job.worker == worker and job.state is State.RUNNING)
        return [Claim(job.songhash, str(job.fence), job) for job in mine]

    def announce(self, worker: Worker) -> None:
        """Registers a live worker and its models, for OFFER_SECONDS."""
        with redis_errors():
            self._offers.announce(worker)

    def withdraw(self, name: str) -> None:
        with redis_errors():
            self._offers.withdraw(name)

    # --- anyone's moves

    def workers(self) -> Workers:
        """The live workers and their models."""
        with redis_errors():
            return self._offers.workers()

    def reap(self) -> dict[str, str]:
        """Requeues or fails jobs that lost their worker; songhash ▸ `queued` or `failed`."""
        errors = record_json(WORKER_LOST), record_json(RECORD_BROKEN)
        answer = self._moves.run("reap", self.max_attempts, self.lease_ms, *errors)
        outcomes = dict(zip(answer[::2], answer[1::2], strict=True))
        self._observe(self.observer.reaped, outcomes)
        return outcomes

    def repair(self) -> dict[str, str]:
        """Repairs jobs that are in no list although their record says queued or running; songhash ▸ new state.

        Scans all of Redis' keys, a thousand at a time.
        """
        error = record_json(RECORD_BROKEN)
        found = unlisted_jobs(self.redis, self.keys)
        looked = {songhash: self._moves.run("repair", songhash, self.lease_ms, error) for songhash in found}
        return {songhash: str(state) for songhash, state in looked.items() if state}

    def replay(self, songhash: str) -> bool:
        """Queues a dead job again with all attempts. Returns False if it is not dead."""
        return bool(self._moves.run("replay", songhash))

    def states(self, songhashes: Sequence[str]) -> list[State | None]:
        """None without a record, FAILED if it is damaged."""
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            for songhash in songhashes:
                pipe.hget(f"job:{songhash}", "state")
            states = answers(pipe, otherwise="")
        return [None if state is None else parse_state(state) or State.FAILED for state in states]

    def note_removed(self, songhash: str, stem: str) -> None:
        """A stem of a done job was deleted."""
        self._moves.run("removed", songhash, stem)

    def note_all_removed(self, songhashes: Sequence[str]) -> None:
        """All stems of these were deleted, of those that are done."""
        for _ in self._moves.run_all("removed", [(songhash, ALL_STEMS) for songhash in songhashes]):
            pass

    # --- retiring

    def hold(self, songhash: str, seconds: float) -> bool:
        """Protects a song from being retired for a time. Returns False if it is being retired: its objects are being
        deleted."""
        with redis_errors(), self.redis.pipeline() as pipe:
            pipe.set(f"held:{songhash}", "1", px=int(seconds * 1000)).exists(f"retiring:{songhash}")
            return not pipe.execute()[1]

    def let_go(self, songhash: str) -> None:
        """Ends all protection of `hold`: the song is deleted on purpose."""
        with redis_errors():
            self.redis.delete(f"held:{songhash}")

    def ended_before(self, seconds: float) -> Iterator[str]:
        """Jobs that ended at least that long ago, unordered. Scans all of Redis' keys, a thousand at a time."""
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
        pairs, latest = zip(songhashes, records, strict=True), clock[0] + clock[1] / 1e6 - seconds
        return [name for name, (state, ms) in pairs if _had_ended(state, ms, latest)]

    def retire(self, songhash: str, seconds: float | None = None) -> str:
        """`forgotten`: it ended long enough ago, and its record was deleted; `unrecorded`: it had none; ``: unchanged.

        Unless unchanged, nobody can start with the song until `retired` is called or RETIRE_SECONDS have passed.
        """
        age_ms = -1 if seconds is None else int(seconds * 1000)
        outcome = str(self._moves.run("retire", songhash, age_ms, RETIRE_SECONDS * 1000))
        if outcome == "forgotten":
            self._observe(self.observer.retired)
        return outcome

    def retired(self, songhash: str) -> None:
        with redis_errors():
            self.redis.delete(f"retiring:{songhash}")

    def publish_model(self, name: str, description: Mapping[str, Any]) -> None:
        """Stores a model's description, so that the API can validate stems without loading it.

        `peak_bytes`, the memory that a run needed, stays at the least of all runs.
        """
        peaks = [peak for peak in (description.get("peak_bytes"), self.model_peak(name)) if peak]
        description = dict(description) | ({"peak_bytes": min(peaks)} if peaks else {})
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.type(MODELS).hset(MODELS, name, record_json(description))
            if answers(pipe)[0] not in ("hash", "none"):  # overwritten: each worker stores its model again
                self.redis.delete(MODELS)
                self.redis.hset(MODELS, name, record_json(description))

    def published_models(self) -> tuple[str, ...]:
        """The models that workers have loaded so far."""
        return tuple(map(str, unless_damaged(lambda: self.redis.hkeys(MODELS), ())))

    def model_peak(self, name: str) -> int | None:
        """The least memory, in bytes, that a run of the model has needed on any worker; None before the first."""
        text = unless_damaged(lambda: self.redis.hget(MODELS, name), None)
        peak = _described(text or "").get("peak_bytes")
        return peak if isinstance(peak, int) and peak > 0 else None

    def model_description(self, name: str) -> Mapping[str, Any]:
        """A model's properties, as stored by a worker that loaded it; empty before that."""
        text = unless_damaged(lambda: self.redis.hget(MODELS, name), None)
        return _described(text) if text else {}


def _had_ended(state: str | None, finished_ms: str | None, latest: float) -> bool:
    known, finished = parse_state(state), Fields({"at": finished_ms or ""}).seconds("at")
    return known is not None and known.ended and finished is not None and finished <= latest


def _described(description: str) -> Mapping[str, Any]:
    """Empty if it cannot be read."""
    try:
        return json_object(description)
    except ValueError:
        return {}
