"""Creates, reads, ends and cancels batches. A batch is a record in a list of its own; its songs are provisional jobs.

Every method raises QueueUnavailable.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence

from msaas.batches.records import EXPIRED, Batch, SongState, counts_of
from msaas.errors import NotFound
from msaas.jobs import Job, State, record_json
from msaas.maintenance.loop import Loop
from msaas.queue import BATCHES, NO_CALLBACK, Admission, Queue, Submission, scripts
from msaas.redis_client import answers, redis_errors

log = logging.getLogger(__name__)

FIELDS = ("state", "leads_to", "error")
PAGE = 100  # songs whose states are read at once to find one that has not ended
FOLLOW_SECONDS = 1.0
CANCEL_ROUNDS = 3
LOCK = "housekeeping:batches"
# A batch whose request died before all its songs were queued is withdrawn: its client has no answer, and tries again.
UNFILLED_SECONDS = 600.0


class Batches:
    """`waiting`: the queue of batches; `fetches`: of provisional jobs; `songs`: of songs."""

    def __init__(self, waiting: Queue, fetches: Queue, songs: Queue) -> None:
        self.waiting, self.fetches, self.songs = waiting, fetches, songs
        self.redis = waiting.redis
        self._end_script = scripts.load(self.redis, "jobs/end_batch")
        self._withdraw_script = scripts.load(self.redis, "jobs/withdraw")

    def create(
        self,
        songs: Sequence[tuple[Mapping[str, str], Sequence[str]]],
        fields: Mapping[str, str],
        *,
        callback: Sequence[str] = NO_CALLBACK,
        admission: Admission,
    ) -> Batch:
        """Queues all songs, or none. `songs`: the record and the callback of each. Raises QueueFull, QuotaExceeded,
        Conflict."""
        id_, names = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in songs]
        record = {"list": BATCHES, "songs": json.dumps({"ids": names})} | dict(fields)
        self.waiting.submit(id_, record, callback=callback, admission=admission)
        try:
            self.fetches.submit_all(
                [
                    Submission(name, song, callback=song_callback, admission=admission)
                    for name, (song, song_callback) in zip(names, songs, strict=True)
                ]
            )
        except BaseException:
            self._withdraw(names)
            with redis_errors():
                self._withdraw_script(keys=self.waiting.keys, args=[id_])
            raise
        with redis_errors():
            self.redis.hset(f"job:{id_}", "filled", "1")
        return self.get(id_)

    def _withdraw(self, names: Sequence[str]) -> None:
        """Takes back provisional jobs, without callbacks. A song that a fetch has led to stays: it may have been
        posted outside the batch, too, or again by the client, which repeats its request."""
        with redis_errors():
            for name in names:
                self._withdraw_script(keys=self.fetches.keys, args=[name])

    def get(self, id_: str) -> Batch:
        """Raises NotFound."""
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(f"job:{id_}")
            batch = Batch.from_hash(id_, answers(pipe, otherwise={})[0])
        if batch is None:
            raise NotFound(f"unknown batch {id_}", code="batch_unknown")
        return batch

    def states(self, names: Sequence[str]) -> list[SongState]:
        """Of provisional jobs, or of the jobs that they lead to."""
        first = self._records(names)
        leads = [record.get("leads_to") or "" for record in first]
        later = dict(zip(leads, self._records(leads), strict=True))
        return [_state(name, record, lead, later[lead]) for name, record, lead in zip(names, first, leads, strict=True)]

    def _records(self, names: Sequence[str]) -> list[dict[str, str]]:
        with redis_errors(), self.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(f"job:{name}", FIELDS)
            found = answers(pipe, otherwise=[""] * len(FIELDS))
        return [{name: text for name, text in zip(FIELDS, one, strict=True) if text is not None} for one in found]

    def cancel(self, batch: Batch) -> None:
        """Cancels the songs that have not ended, then the batch. Can be repeated."""
        if batch.state is State.QUEUED:
            with redis_errors():  # `follow` may end it first, once its last song is cancelled
                self.redis.hset(f"job:{batch.id}", "cancelling", "1")
        for _ in range(CANCEL_ROUNDS):  # a song whose fetch ends meanwhile is queued as another job
            left = [song for song in self.states(batch.songs) if not song.ended]
            if not left:
                break
            self.songs.cancel_all([song.songhash for song in left if song.songhash])
            self.fetches.cancel_all([song.id for song in left if not song.songhash])
        self._end(batch, State.CANCELLED)

    # --- the end of a batch

    def follow(self) -> None:
        """Ends the batches whose songs have all ended."""
        for id_ in self.waiting.waiting():
            try:
                self._follow(self.get(id_))
            except NotFound:
                with redis_errors():
                    self.redis.lrem(BATCHES, 0, id_)

    def _follow(self, batch: Batch) -> None:
        if not batch.filled:
            if time.time() - (batch.created_at or 0) > UNFILLED_SECONDS:
                self._withdraw(batch.songs)
                self._end(batch, State.CANCELLED)
        elif all(song.ended for page in _from_the_end(batch.songs) for song in self.states(page)):
            self._end(batch, State.DONE)

    def _end(self, batch: Batch, state: State) -> None:
        counts = counts_of(self.states(batch.songs))
        result = record_json({"batch": {"total": len(batch.songs), "counts": counts}})
        with redis_errors():
            ended = self._end_script(keys=self.waiting.keys, args=[batch.id, state.value, result])
        if ended:
            log.info("batch ended batch=%s state=%s songs=%d", batch.id, state, len(batch.songs))


class BatchFollower:
    """Background work: one process at a time looks at the batches, each second."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self._loop = Loop("batches", self.turn, FOLLOW_SECONDS, waits_first=True)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    def turn(self) -> None:
        with redis_errors():
            locked = self.batches.redis.set(LOCK, "1", nx=True, px=int(FOLLOW_SECONDS * 900))
        if locked:
            self.batches.follow()


def _from_the_end(songs: Sequence[str]) -> Iterator[Sequence[str]]:
    """Pages: the last songs are usually the last to end."""
    for stop in range(len(songs), 0, -PAGE):
        yield songs[max(0, stop - PAGE) : stop]


def _state(name: str, record: Mapping[str, str], lead: str, later: Mapping[str, str]) -> SongState:
    found = later if lead else record
    if not found:
        return SongState(name, lead, EXPIRED)
    job = Job.from_hash(lead or name, found)
    return SongState(name, lead, job.state.value, job.reason)
