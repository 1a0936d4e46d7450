"""Renews a claim's lease in a thread, reports progress, and notices when the job is lost."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from msaas.errors import QueueUnavailable
from msaas.queue.queue import Queue
from msaas.queue.records import Claim

log = logging.getLogger(__name__)


class Heartbeat:
    """Renews at once on entry and every `every_seconds` until exit.

    While Redis is away it keeps trying: an expired lease can be renewed as long as nobody has requeued the job.
    """

    def __init__(self, queue: Queue, claim: Claim, *, every_seconds: float) -> None:
        self.queue, self.claim, self.every_seconds = queue, claim, every_seconds
        self.lost: str | None = None  # the job's state once this worker has lost it
        self._notes: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def note(self, **fields: str) -> None:
        """Fields for the record, written with the next renewal."""
        with self._lock:
            self._notes.update(fields)

    def progress(self, stage: str, fraction: float) -> None:
        self.note(stage=stage, progress=f"{fraction:.4f}")

    def _run(self) -> None:
        while True:
            self.send()
            if self.lost or self._stopped.wait(self.every_seconds):
                return

    def send(self) -> None:
        """Renews once, with the pending fields; fields that could not be written are kept for the next time."""
        with self._lock:
            notes, self._notes = self._notes, {}
        try:
            answer = self.queue.renew(self.claim, notes)
        except Exception as error:  # without its heartbeat a healthy worker would lose the job
            unexpected = None if isinstance(error, QueueUnavailable) else error
            log.warning("heartbeat missed job=%s reason=%s", self.claim.songhash, error, exc_info=unexpected)
            with self._lock:
                self._notes = notes | self._notes
            return
        if answer != "kept":
            self.lost = answer
