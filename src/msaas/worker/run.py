"""Runs one claimed job: download, separate, upload, close its record.

Two things may end a run early: the job no longer belongs to this worker (cancelled, or requeued), or the worker has to
stop. The first ends the run and changes nothing; the second gives the job back uncharged.
"""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msaas.errors import (
    Cancelled,
    ChildDied,
    ModelUnavailable,
    MSaaSError,
    NotFound,
    ObjectDamaged,
    OutOfMemory,
    QueueUnavailable,
    RecordBroken,
    RequestError,
    ScratchFull,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from msaas.jobs import Job, State
from msaas.options import Options
from msaas.queue import Backoff, Claim, Queue
from msaas.queue.heartbeat import Heartbeat
from msaas.storage import ExpectedUpload, Storage
from msaas.worker.claim_checks import MEMORY_PAUSE_SECONDS, ClaimChecks, ModelOffers
from msaas.worker.concurrency.gate import Gate
from msaas.worker.loop_state import LoopState
from msaas.worker.memory import MemoryWatch
from msaas.worker.options import WorkerOptions
from msaas.worker.process import SeparationProcess, TaskFailed
from msaas.worker.protocol import Task
from msaas.worker.scratch import scratch_folder
from msaas.worker.waveforms import WaveformUploader

log = logging.getLogger(__name__)

STORAGE_FULL_TRIES = 6  # three seconds
SCRATCH_FULL_SECONDS = 2  # a worker without disk space waits, so that one with space takes the job


class Stopping(MSaaSError):
    """The worker has to stop before the run is over."""


class ModelMissing(MSaaSError):
    """This worker cannot load the job's model; another may."""


class MemoryShort(MSaaSError):
    """This worker has too little memory for the job; another may have enough."""


@dataclass(frozen=True)
class RunContext:
    """Shared by all runs of a worker."""

    worker: WorkerOptions
    queue: Queue
    storage: Storage
    process: SeparationProcess
    checks: ClaimChecks
    memory: MemoryWatch
    models: ModelOffers
    loop: LoopState
    gate: Gate  # of the process


class Run:
    """One claimed job, from the song to the closed record."""

    def __init__(self, context: RunContext, claim: Claim) -> None:
        self.context, self.claim = context, claim
        self.worker, self.queue, self.storage = context.worker, context.queue, context.storage
        self.loop = context.loop
        self.heartbeat = Heartbeat(self.queue, claim, every_seconds=self.worker.heartbeat_seconds)

    def execute(self) -> None:
        """The job is always finished, failed, requeued or given back; only if Redis is away it stays leased."""
        with self.heartbeat:
            try:
                with scratch_folder(self.worker.scratch_dir, self.claim.songhash[:8]) as folder:
                    result = self._separate(folder)
                self._until_done(lambda: self._finish(result))
            except (Stopping, ModelMissing, MemoryShort) as error:
                self._until_done(partial(self._give_back, error.detail))
            except Cancelled:
                self._tidy_up()
            except Exception as error:
                self._until_done(partial(self._fail, _as_msaas_error(error)))

    # --- from the song to its stems

    def _separate(self, folder: Path) -> dict[str, Any]:
        """Returns the result for the record, with the stems stored."""
        options = self._options()
        song, stems = folder / "song", folder / "stems"
        stems.mkdir()
        self.heartbeat.progress("fetching", 0)
        sent = _sent(self.claim.job)
        self._retry(lambda: self.storage.fetch_input(self.claim.songhash, song, sent))
        task = Task(song, stems, options, seed=self.claim.songhash)
        with WaveformUploader(self.storage, self.claim.songhash, task.waveforms):
            done = self._separation(task)
            self.heartbeat.progress("storing", 1)
            for stem, path in done["stems"].items():
                name = f"{self.claim.songhash}-{stem}.{options.format}"
                self._retry(partial(self.storage.put_stem, name, Path(path)))
        return done | {"stems": dict.fromkeys(done["stems"], options.format), "work": options.work}

    def _options(self) -> Options:
        """The record's options; for a songhash pushed by hand the defaults, which are written to its record."""
        if "options" in self.claim.job.broken:  # its defaults may differ from the requested options
            raise RecordBroken("the job's options in Redis cannot be read; post the song again")
        given, worker = self.claim.job.options, self.worker
        options = Options.parse(given or {}, default_model=worker.model, allowed=self.context.models.allowed)
        self.heartbeat.note(model=options.model, options=options.to_json(), trouble="")
        self.heartbeat.send()  # a short job may be over before the next
        return options

    def _separation(self, task: Task) -> dict[str, Any]:
        """Separates the song beside others. If the process ends while it has several songs, none of them is charged for
        it: each is separated again, alone, so that the one that caused it fails by itself."""
        with self.context.gate.shared(self._wait) as stay:
            try:
                return self._in_process(task)
            except (ChildDied, TaskFailed) as error:
                if not (stay.crowded and _ended_process(error)):
                    self._judge(error, task.options)
                    raise
                self._note_crowded(error)
        shutil.rmtree(task.out_dir)
        task.out_dir.mkdir()
        return self._alone(task)

    def _alone(self, task: Task) -> dict[str, Any]:
        with self.context.gate.alone(self._wait):
            try:
                return self._in_process(task)
            except (ChildDied, TaskFailed) as error:
                self._judge(error, task.options)
                raise

    def _in_process(self, task: Task) -> dict[str, Any]:
        """Restarts a process that died during an earlier job."""
        process = self.context.process
        try:
            if not process.ensure_ready(self._over):
                self.check()
                raise ChildDied(process.not_ready_reason)
            done = process.separate(task, self._over, self.heartbeat.progress)
        except Cancelled:
            self.check()
            raise
        self.context.memory.finished()
        return done

    def _judge(self, error: ChildDied | TaskFailed, options: Options) -> None:
        """Raises MemoryShort or ModelMissing if another worker is to have the job."""
        lacked_memory = error.code == OutOfMemory.code
        killed = not lacked_memory and isinstance(error, ChildDied) and self.context.memory.kernel_killed()
        if lacked_memory or killed:
            self._lacked_memory(options, error, by_kernel=killed)
        if isinstance(error, TaskFailed) and error.code == ModelUnavailable.code and self._withdraw(error, options):
            raise ModelMissing(error.detail) from error

    def _note_crowded(self, error: MSaaSError) -> None:
        """Several songs may have needed more memory than one does."""
        log.warning("process ended with several songs, running alone job=%s reason=%s", self.claim.songhash, error)
        if error.code == OutOfMemory.code or self.context.memory.kernel_killed():
            log.warning("one song at a time seconds=%d reason=too little memory for several", MEMORY_PAUSE_SECONDS)
            self.context.gate.narrow(MEMORY_PAUSE_SECONDS)

    def _wait(self) -> None:
        """Called while the run waits for its place in the process."""
        self.loop.alive()
        self.check()

    def _lacked_memory(self, options: Options, error: MSaaSError, *, by_kernel: bool) -> None:
        """After deaths in succession the worker pauses, and gives the job to another worker, if there is one."""
        memory = self.context.memory
        if not memory.died():
            return
        model = " and ".join(options.models)
        limit = memory.words(by_kernel=by_kernel)
        self.context.checks.lacks_memory(f"{limit}, and {model} needs more: {error.detail};")
        workers = self.queue.workers().without(self.claim.job.worker)
        if workers.offering(*options.models):
            raise MemoryShort(error.detail) from error

    def _withdraw(self, error: TaskFailed, options: Options) -> bool:
        model = error.model if error.model in options.models else options.model
        return self.context.models.withdraw(model, error.detail)

    def _over(self) -> bool:
        self.loop.alive()
        return self.heartbeat.lost is not None or self.loop.out_of_grace()

    def check(self) -> None:
        """Raises Cancelled once the job no longer belongs to this worker, Stopping after the grace period."""
        if self.heartbeat.lost is not None:
            raise Cancelled(f"the job is {self.heartbeat.lost} now")
        if self.loop.out_of_grace():
            raise Stopping("the worker has to stop")

    def _retry(self, step: Callable[[], None]) -> None:
        """Retries a step while the object store is away, as long as the job belongs to this worker.

        Raises StorageFull and ObjectDamaged, which do not recover by waiting, and StorageRefused after a time limit: a
        clear reason is better than a job that never ends.
        """
        pause, full, refusing = Backoff(), 0, StoreRefusal(self.context, self.claim, self.heartbeat)
        while True:
            self.loop.alive()
            self.check()
            try:
                step()
                return refusing.over()
            except (StorageFull, ObjectDamaged) as error:
                full += 1
                if full == STORAGE_FULL_TRIES:
                    if isinstance(error, StorageFull):  # the next songs would fail the same way
                        self.context.checks.refused(error)
                    raise
                pause.wait()
            except StorageRefused as error:
                refusing.note(error)
                pause.wait()
            except StorageUnavailable as error:
                log.warning("storage away, trying again job=%s reason=%s", self.claim.songhash, error)
                pause.wait()

    # --- its end

    def _until_done(self, move: Callable[[], object]) -> None:
        """Retries a closing move while Redis is away. Stops when the job is lost or the time is up; the job is then
        requeued when its lease expires."""
        pause = Backoff()
        while True:
            self.loop.alive()
            try:
                move()
                return
            except QueueUnavailable as error:
                log.warning("queue away, trying again job=%s reason=%s", self.claim.songhash, error)
                if self.heartbeat.lost is not None or self.loop.out_of_grace():
                    return
                pause.wait()

    def _finish(self, result: dict[str, Any]) -> None:
        # At each job, not only when a model is loaded: requests may name other models, and Redis may have been emptied.
        for model in (result["model"], *result["refining"]):
            self.queue.publish_model(model["name"], model | {"peak_bytes": result["peak_bytes"]})
        if self.queue.finish(self.claim, result, result["duration_seconds"]):
            log.info("finished job=%s fence=%s", self.claim.songhash, self.claim.fence)
        else:
            self._tidy_up()  # cancelled at the last moment; or already finished, with the answer lost

    def _give_back(self, reason: str) -> None:
        if self.queue.release(self.claim):
            log.info("gave back job=%s reason=%s", self.claim.songhash, reason)
        else:
            self._tidy_up()

    def _fail(self, error: MSaaSError) -> None:
        outcome = self.queue.fail(self.claim, {"code": error.code, "detail": error.detail}, retry=_is_retryable(error))
        log.warning(
            "failed job=%s code=%s outcome=%s detail=%s", self.claim.songhash, error.code, outcome or "lost", error
        )
        if outcome != "queued":
            self._tidy_up()
        if error.code == ScratchFull.code:
            self.loop.stopping.wait(SCRATCH_FULL_SECONDS)

    def _tidy_up(self) -> None:
        """Deletes the stems of a job that ended without any; those of a requeued job belong to another worker."""
        try:
            job = self.queue.get(self.claim.songhash)
            log.info("run ended job=%s now=%s", self.claim.songhash, job and job.state)
            if job is not None and job.state in (State.CANCELLED, State.FAILED):
                self.storage.remove_stems_of(self.claim.songhash)
        except (QueueUnavailable, StorageUnavailable) as error:
            log.warning("stems of an ended job left to the sweep job=%s reason=%s", self.claim.songhash, error)
        except Exception:  # the job has ended: leftovers must not stop the worker
            log.exception("stems of an ended job left to the sweep job=%s", self.claim.songhash)


class StoreRefusal:
    """Tracks how long the store has rejected one step of a run, and reports it."""

    def __init__(self, context: RunContext, claim: Claim, heartbeat: Heartbeat) -> None:
        self.context, self.claim, self.heartbeat = context, claim, heartbeat
        self.since = float("inf")  # monotonic

    def note(self, error: StorageRefused) -> None:
        """Raises the refusal after the time limit."""
        now = time.monotonic()
        blocker = self.context.checks.refused(error)
        if self.since > now:
            self.since = now
            log.warning("storage refuses, trying again job=%s reason=%s", self.claim.songhash, error)
            self.heartbeat.note(trouble=str(blocker))
        if now - self.since >= self.context.worker.storage_refusal_seconds:
            raise StorageRefused(f"{error}; it has for {now - self.since:.0f} s", error.reason) from error

    def over(self) -> None:
        if self.since != float("inf"):
            self.context.checks.store_accepted()
            self.heartbeat.note(trouble="")


def _ended_process(error: ChildDied | TaskFailed) -> bool:
    """Also for lack of memory: the process is not used after that."""
    return isinstance(error, ChildDied) or error.code == OutOfMemory.code


def _sent(job: Job) -> ExpectedUpload:
    size, sha256 = job.upload.get("bytes"), job.upload.get("sha256")
    return ExpectedUpload(size if isinstance(size, int) else None, sha256 if isinstance(sha256, str) else None)


def _as_msaas_error(error: Exception) -> MSaaSError:
    """An error as written to the record. Unexpected errors are logged with their traceback."""
    if isinstance(error, MSaaSError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ScratchFull(f"no space left in the worker's scratch folder: {error}")
    log.error("unforeseen error", exc_info=error)
    return MSaaSError(f"{type(error).__name__}: {error}")


def _is_retryable(error: MSaaSError) -> bool:
    if isinstance(error, TaskFailed):
        return error.retry
    return not isinstance(error, NotFound | RequestError | RecordBroken | StorageRefused | StorageFull)
