"""What keeps a worker from claiming songs: a store that refuses, a full scratch disk, a missing model. Ends no job.

Without these checks a job would fail, and use up its attempts, on every worker with the same fault.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msaas.errors import OutOfMemory, ScratchFull, StorageFull, StorageRefused, StorageUnavailable
from msaas.queue.worker_registry import MODEL_WITHDRAWN_SECONDS
from msaas.storage import Storage

log = logging.getLogger(__name__)

MAX_REASON = 500  # characters
CHECK_SECONDS = 5  # between two checks of a blocked worker
MEMORY_PAUSE_SECONDS = 600  # after deaths for lack of memory; a neighbour's load may have been the cause


@dataclass(frozen=True)
class Blocker:
    """`code` as in error_codes.WAIT_CODES; `since` in seconds since 1970; `what` says it in words."""

    code: str
    what: str
    since: float

    def __str__(self) -> str:
        return f"{self.what} since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class ClaimChecks:
    """`changed` is called when `blocker` is set or cleared."""

    def __init__(
        self,
        storage: Storage,
        scratch_dir: Path,
        min_bytes: int,
        *,
        free: Callable[[Path], int] = free_bytes,
        changed: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storage, self.scratch_dir, self.min_bytes = storage, scratch_dir, min_bytes
        self.free, self.changed, self.clock = free, changed, clock
        self.blocker: Blocker | None = None

    def refused(self, error: StorageRefused | StorageFull) -> Blocker:
        """Called when the store rejects a write during a run: the worker claims nothing until a write to each bucket
        succeeds."""
        return self._block(StorageRefused.code, error.detail)

    def store_accepted(self) -> None:
        self._unblock(StorageRefused.code)

    def lacks_memory(self, what: str) -> Blocker:
        """The worker claims nothing for a while."""
        return self._block(OutOfMemory.code, what)

    def may_claim(self) -> bool:
        """Checks again; returns whether the worker may claim."""
        return self._has_memory() and self._has_room() and self._store_works()

    def _has_memory(self) -> bool:
        blocker = self.blocker
        if blocker and blocker.code == OutOfMemory.code and self.clock() - blocker.since < MEMORY_PAUSE_SECONDS:
            return False
        self._unblock(OutOfMemory.code)
        return True

    def _has_room(self) -> bool:
        try:
            left = self.free(self.scratch_dir)
        except OSError as error:
            self._block(ScratchFull.code, f"the worker's scratch folder cannot be used ({error.strerror})")
            return False
        if left < self.min_bytes:
            required = f"{self.min_bytes / 1e6:.0f} MB must be free (MSAAS_SCRATCH_FREE_BYTES)"
            self._block(ScratchFull.code, f"the worker's scratch disk is full ({required})")
            return False
        self._unblock(ScratchFull.code)
        return True

    def _store_works(self) -> bool:
        if self.blocker is None or self.blocker.code != StorageRefused.code:
            return True
        try:
            self.storage.check()
        except StorageUnavailable:
            return False
        self.store_accepted()
        return True

    def _block(self, code: str, what: str) -> Blocker:
        if self.blocker is None or self.blocker.code != code:
            self.blocker = Blocker(code, what, self.clock())
            log.warning("claiming paused code=%s reason=%s", code, self.blocker)
            self.changed()
        return self.blocker

    def _unblock(self, code: str) -> None:
        if self.blocker is not None and self.blocker.code == code:
            log.info("claiming resumed code=%s was=%s", code, self.blocker)
            self.blocker = None
            self.changed()


class ModelOffers:
    """The models that this worker runs. One that cannot be loaded is left out for a while: its songs wait, uncharged.

    The default model stays: a worker that cannot load it is not ready at all. `changed` is called when one is left out.
    """

    def __init__(
        self,
        default: str,
        allowed: tuple[str, ...],
        *,
        changed: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.default, self.allowed, self.changed, self.clock = default, allowed, changed, clock
        self._named = allowed
        self._missing: dict[str, tuple[float, str]] = {}  # model ▸ when it is offered again, and why it is not

    def found(self, models: Iterable[str]) -> None:
        """Sets the models that the separation process has found, in addition to the named ones."""
        self.allowed = tuple(dict.fromkeys((*self._named, *models)))

    @property
    def offered(self) -> tuple[str, ...]:
        faults = self.faults
        return tuple(model for model in self.allowed if model not in faults)

    @property
    def faults(self) -> dict[str, str]:
        """The models that are left out now, and why."""
        now = self.clock()
        return {model: reason for model, (until, reason) in self._missing.items() if until > now}

    def withdraw(self, model: str, reason: str) -> bool:
        """False for the default model."""
        if model == self.default:
            return False
        log.warning("model withdrawn model=%s seconds=%d reason=%s", model, MODEL_WITHDRAWN_SECONDS, reason)
        self._missing[model] = self.clock() + MODEL_WITHDRAWN_SECONDS, reason[:MAX_REASON]
        self.changed()
        return True
