"""One claimed job: its heartbeat, its scratch folder, retries while the store is away, and its end."""

from __future__ import annotations

import errno
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from msaas import scratch
from msaas.errors import (
    AudioError,
    Cancelled,
    MSaaSError,
    QueueUnavailable,
    RecordBroken,
    RequestError,
    ScratchFull,
    StorageUnavailable,
)
from msaas.queue import Backoff, Claim, Queue
from msaas.queue.heartbeat import Heartbeat

log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 2.0
STORE_SECONDS = 60.0  # how long a store that is away is waited for; then the job is retried


class Stopping(MSaaSError):
    """This process has to stop before the job is over."""


class JobRun(ABC):
    """`interrupt` may be called from another thread."""

    kind: ClassVar[str]  # for messages: `fetch`
    verb: ClassVar[str]  # for the log line of its end: `fetched`
    prefix: ClassVar[str]  # of its scratch folders

    def __init__(
        self, queue: Queue, claim: Claim, stopping: threading.Event, *, scratch_dir: Path, heartbeat_seconds: float
    ) -> None:
        self.queue, self.claim, self.stopping, self.scratch_dir = queue, claim, stopping, scratch_dir
        self.heartbeat = Heartbeat(queue, claim, every_seconds=heartbeat_seconds)
        self._reason = ""

    @abstractmethod
    def run(self, folder: Path) -> str:
        """Does the job, with a scratch folder of its own. Returns the outcome for the log."""

    @abstractmethod
    def source(self) -> str:
        """What the job is made of, for the log: `song=<songhash>`."""

    def interrupt(self) -> None:  # noqa: B027 - most have nothing to end
        """Ends what waits for others at once; `stopping` is set before."""

    def tidy_up(self) -> None:  # noqa: B027 - most leave nothing
        """Called when the job no longer belongs to this process."""

    def is_retryable(self, error: MSaaSError) -> bool:
        return not isinstance(error, RequestError | AudioError | RecordBroken)

    def execute(self) -> None:
        """The job is finished, failed, requeued or given back; if Redis is away, its lease expires."""
        songhash, began = self.claim.songhash, time.monotonic()
        try:
            with self.heartbeat:
                outcome = self._outcome()
            seconds = time.monotonic() - began
            log.info("%s job=%s %s outcome=%s seconds=%.2f", self.verb, songhash, self.source(), outcome, seconds)
        except QueueUnavailable as error:
            log.warning("%s left to its lease job=%s reason=%s", self.kind, songhash, error)

    def _outcome(self) -> str:
        try:
            with scratch.locked_folder(self.scratch_dir, self.prefix) as folder:
                return self.run(folder)
        except Stopping:
            self.queue.release(self.claim)
            return "given back"
        except Cancelled as error:
            self.tidy_up()
            return error.detail
        except QueueUnavailable:
            raise
        except Exception as error:
            return self._fail(_as_msaas_error(error))

    # --- what runs call

    def check(self) -> None:
        """Raises Stopping, and Cancelled once the job no longer belongs to this process."""
        if self.stopping.is_set():
            raise Stopping("the process has to stop")
        if self.heartbeat.lost is not None:
            raise Cancelled(f"the {self.kind} is {self.heartbeat.lost} now")

    def pause(self, seconds: float) -> None:
        self.stopping.wait(seconds)
        self.check()

    def retry(self, step: Callable[[], Any]) -> Any:
        """Waits for a store that is away, for a time."""
        pause, give_up_at = Backoff(self.stopping), time.monotonic() + STORE_SECONDS
        while True:
            self.check()
            try:
                found = step()
            except StorageUnavailable as error:
                if time.monotonic() > give_up_at:
                    raise
                self.note_reason(error.detail)
                pause.wait()
            else:
                self.note_reason("")
                return found

    def note_reason(self, reason: str) -> None:
        """Why the job waits, for its record; empty once it goes on."""
        if reason != self._reason:
            self._reason = reason
            self.heartbeat.note(trouble=reason)
            self.heartbeat.send()

    def _fail(self, error: MSaaSError) -> str:
        retry = self.is_retryable(error)
        if retry:
            self.stopping.wait(RETRY_PAUSE_SECONDS)
        text = {"code": error.code, "detail": error.detail}
        outcome = self.queue.fail(self.claim, text, retry=retry) or "lost"
        notes = " ".join(getattr(error, "__notes__", ()))
        log.warning(
            "%s failed job=%s code=%s outcome=%s %s", self.kind, self.claim.songhash, error.code, outcome, notes
        )
        return outcome


def _as_msaas_error(error: Exception) -> MSaaSError:
    if isinstance(error, MSaaSError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ScratchFull("no space left in the scratch folder")
    log.error("unexpected error", exc_info=error)
    return MSaaSError(f"{type(error).__name__}: {error}")
