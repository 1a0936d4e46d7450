"""Lists, shows and replays dead jobs, for `msaas dead`. Prints nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from msaas.errors import Conflict, MSaaSError, NotFound
from msaas.jobs import Job, parse_songhash
from msaas.queue import Queue
from msaas.storage import Storage


@dataclass(frozen=True)
class DeadLetter:
    """An entry of `toWorkers:dead`. `job` is None if the entry is not a songhash or its record is missing."""

    entry: str
    job: Job | None

    @property
    def reason(self) -> str:
        if self.job is None:
            return "not a songhash, or its record is missing"
        error = self.job.last_error or {}
        return f"{error.get('code', MSaaSError.code)}: {error.get('detail') or 'no reason recorded'}"


def list_all(queue: Queue, limit: int = 1000) -> Iterator[DeadLetter]:
    """Dead jobs, latest first."""
    for entry in queue.dead(limit):
        yield DeadLetter(entry, _record(queue, entry))


def _record(queue: Queue, entry: str) -> Job | None:
    try:
        return queue.get(parse_songhash(entry))
    except NotFound:
        return None


def listed(found: Iterable[DeadLetter]) -> Iterator[str]:
    """One line per dead job: songhash, attempts, reason."""
    for letter in found:
        attempts = letter.job.attempts if letter.job else 0
        yield f"{letter.entry[:80]}  {attempts} attempts  {letter.reason}"


def shown(queue: Queue, songhash: str) -> str:
    """The whole record as JSON. Raises NotFound if there is none."""
    return json.dumps(asdict(_known(queue, songhash)), indent=2)


def _known(queue: Queue, songhash: str) -> Job:
    name = parse_songhash(songhash)
    job = queue.get(name)
    if job is None:
        raise NotFound(f"unknown job {name}", code="job_unknown")
    return job


def replay(queue: Queue, storage: Storage, songhash: str) -> None:
    """Queues a dead job again with all attempts. Raises Conflict if it is not dead, NotFound if its song is missing."""
    job = _known(queue, songhash)
    if not storage.has_input(job.songhash):
        raise NotFound(f"the song of {job.songhash} is no longer stored: post it again", code="object_missing")
    if not queue.replay(job.songhash):
        raise Conflict(f"job {job.songhash} is {job.state}, not dead")


def replay_all(queue: Queue, storage: Storage) -> Iterator[tuple[str, str]]:
    """Each dead songhash with the result: `queued`, or the reason it was not replayed."""
    for letter in list(list_all(queue, 1_000_000)):
        try:
            replay(queue, storage, letter.entry)
            yield letter.entry, "queued"
        except (NotFound, Conflict) as error:
            yield letter.entry, str(error)
