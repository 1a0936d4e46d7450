"""One job's way through a worker: fetch, separate, publish. Closes no record: the supervisor does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msaas.errors import (
    Cancelled,
    ChildDied,
    MSaaSError,
    ObjectDamaged,
    QueueUnavailable,
    RecordBroken,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from msaas.jobs import Job
from msaas.options import Options
from msaas.queue import Backoff, Claim
from msaas.storage import ExpectedUpload
from msaas.worker.heartbeat import Heartbeat
from msaas.worker.protocol import Task
from msaas.worker.waveforms import WaveformUploader

if TYPE_CHECKING:
    from msaas.worker.supervisor import Supervisor

log = logging.getLogger(__name__)

STORAGE_FULL_TRIES = 6  # three seconds; then the run is charged, and the songs that wait have their turn


class Stopping(MSaaSError):
    """The worker has to stop before the run is over."""


class Run:
    """One job's way through a worker: fetch, separate, publish. Ends early by Stopping or Cancelled."""

    def __init__(self, worker: Supervisor, claim: Claim, beat: Heartbeat) -> None:
        self.worker, self.claim, self.beat = worker, claim, beat

    def separate(self, folder: Path) -> dict[str, Any]:
        """Returns the result for the record, its stems stored."""
        options = self._options()
        song, stems = folder / "song", folder / "stems"
        stems.mkdir()
        self.beat.progress("fetching", 0)
        sent = _sent(self.claim.job)
        self._insist(lambda: self.worker.storage.fetch_input(self.claim.songhash, song, sent))
        task = Task(song, stems, options)
        with WaveformUploader(self.worker.storage, self.claim.songhash, task.waveforms):
            done = self._separation(task)
            self.beat.progress("storing", 1)
            for stem, path in done["stems"].items():
                name = f"{self.claim.songhash}-{stem}.{options.format}"
                self._insist(partial(self.worker.storage.put_stem, name, Path(path)))
        return done | {"stems": dict.fromkeys(done["stems"], options.format)}

    def _options(self) -> Options:
        """The record's; for a songhash pushed by hand the defaults, which are noted in its record."""
        if "options" in self.claim.job.broken:  # its defaults may be other options than were asked for
            raise RecordBroken("the job's options in Redis cannot be read; post the song again")
        given, settings = self.claim.job.options, self.worker.options
        options = Options.parse(given or {}, default_model=settings.model, allowed=settings.allowed_models)
        self.beat.note(model=options.model, options=options.to_json(), trouble="")
        self.beat.beat()  # a short job may be over before the next
        return options

    def _separation(self, task: Task) -> dict[str, Any]:
        """A process that died under the last job is started anew first."""
        process = self.worker.process
        try:
            if not process.ensure_ready(self._over):
                self.check()
                raise ChildDied(process.trouble)
            return process.separate(task, self._over, self.beat.progress)
        except Cancelled:
            self.check()
            raise

    def _over(self) -> bool:
        self.worker.turned()
        return self.beat.lost is not None or self.worker.out_of_grace()

    def check(self) -> None:
        """Raises Cancelled once the job is no longer ours, Stopping once the grace is used up."""
        if self.beat.lost is not None:
            raise Cancelled(f"the job is {self.beat.lost} now")
        if self.worker.out_of_grace():
            raise Stopping("the worker has to stop")

    def _insist(self, step: Callable[[], None]) -> None:
        """Repeats a step while the object store is away, for as long as the job is ours.

        Raises StorageFull and ObjectDamaged, which waiting does not mend, and StorageRefused once that has lasted: a
        stated reason is worth more than a job that never ends.
        """
        pause, full, refusing = Backoff(), 0, StoreRefusal(self)
        while True:
            self.worker.turned()
            self.check()
            try:
                step()
                return refusing.over()
            except (StorageFull, ObjectDamaged):
                full += 1
                if full == STORAGE_FULL_TRIES:
                    raise
                pause.wait()
            except StorageRefused as error:
                refusing.note(error)
                pause.wait()
            except StorageUnavailable as error:
                log.warning("storage away, trying again job=%s reason=%s", self.claim.songhash, error)
                pause.wait()

    def until_done(self, move: Callable[[], object]) -> None:
        """Repeats a closing move while Redis is away. Stops insisting when the job is lost or time is up: the lease
        brings the job back."""
        pause = Backoff()
        while True:
            self.worker.turned()
            try:
                move()
                return
            except QueueUnavailable as error:
                log.warning("queue away, trying again job=%s reason=%s", self.claim.songhash, error)
                if self.beat.lost is not None or self.worker.out_of_grace():
                    return
                pause.wait()


class StoreRefusal:
    """How long the store has refused one step of a run, and who is told of it."""

    def __init__(self, run: Run) -> None:
        self.run, self.since = run, float("inf")  # monotonic

    def note(self, error: StorageRefused) -> None:
        """Raises the refusal where it has lasted."""
        now, worker = time.monotonic(), self.run.worker
        trouble = worker.obstacles.refused(error)
        if self.since > now:
            self.since = now
            log.warning("storage refuses, trying again job=%s reason=%s", self.run.claim.songhash, error)
            self.run.beat.note(trouble=str(trouble))
        if now - self.since >= worker.options.storage_refusal_seconds:
            raise StorageRefused(f"{error}; it has for {now - self.since:.0f} s", error.reason) from error

    def over(self) -> None:
        if self.since != float("inf"):
            self.run.worker.obstacles.store_takes()
            self.run.beat.note(trouble="")


def _sent(job: Job) -> ExpectedUpload:
    size, sha256 = job.upload.get("bytes"), job.upload.get("sha256")
    return ExpectedUpload(size if isinstance(size, int) else None, sha256 if isinstance(sha256, str) else None)
