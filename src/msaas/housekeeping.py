"""What has to happen with or without a worker: taking back lost jobs, sweeping strays. Runs in every process.

Reaping is one atomic script, so any number of parts may do it at once. Sweeps list whole buckets: a Redis lock
leaves each of them to one part.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from msaas.callbacks.sender import Sender
from msaas.errors import MSaaSError, NotFound
from msaas.jobs import State, Track, parse_songhash
from msaas.queue import Queue, redis_errors
from msaas.storage import INPUTS, OUTPUTS, WAVEFORMS, Storage, Stored

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 3600
ORPHAN_AFTER = timedelta(days=1)
SWEEP_LOCK = "housekeeping:sweep"


class Housekeeper:
    """A thread that reaps twice a second (a lost job waits half a second past its lease) and sweeps every hour.

    Outages are waited out.
    """

    def __init__(
        self,
        queue: Queue,
        storage: Storage,
        *,
        callbacks: Sender | None = None,
        every_seconds: float = 0.5,
        sweep_every_seconds: float = SWEEP_EVERY_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.queue, self.storage = queue, storage
        self.callbacks = callbacks  # a thread of its own: a receiver that hangs must not hold up the reaping
        self.every_seconds, self.sweep_every_seconds = every_seconds, sweep_every_seconds
        self.now = now
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._away = False

    def start(self) -> None:
        self._thread.start()
        if self.callbacks is not None:
            self.callbacks.start()

    def stop(self) -> None:
        self._stopped.set()
        if self.callbacks is not None:
            self.callbacks.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        # The first sweep waits its turn too: a part that restarts in a loop must not list the buckets in a loop.
        sweep_at = time.monotonic() + self.sweep_every_seconds
        while not self._stopped.wait(self.every_seconds):
            self._quietly(self.reap)
            if time.monotonic() >= sweep_at:
                sweep_at = time.monotonic() + self.sweep_every_seconds
                self._quietly(self.sweep)

    def _quietly(self, step: Callable[[], object]) -> None:
        """An outage is logged once, when it begins; anything else with its traceback. The thread lives on."""
        try:
            step()
            self._away = False
        except MSaaSError as error:
            if not self._away:
                log.warning("housekeeping waits reason=%s", error)
            self._away = True
        except Exception:
            log.exception("housekeeping step failed step=%s", step)

    def reap(self) -> dict[str, str]:
        """Takes back jobs whose lease ran out; songhash ▸ what became of it."""
        reaped = self.queue.reap()
        for songhash, outcome in reaped.items():
            log.warning("lease ran out job=%s outcome=%s", songhash, outcome)
        return reaped

    def sweep(self) -> list[str]:
        """Deletes strays and says which: stems of jobs that ended without any, songs that never became a job."""
        with redis_errors():
            lock_ms = int(self.sweep_every_seconds * 900)
            if not self.queue.redis.set(SWEEP_LOCK, "1", nx=True, px=max(lock_ms, 1)):
                return []
        swept = [*self._sweep_stems(), *self._sweep_inputs(), *self._sweep_waveforms()]
        if swept:
            log.info("swept objects=%d", len(swept))
        return swept

    # Each stray is removed as it is found: by the end of a long listing its job might run again.

    def _sweep_stems(self) -> list[str]:
        swept = []
        for item in self.storage.names(OUTPUTS):
            if self._is_stray_stem(item):
                self.storage.remove_stem(item.name)
                swept.append(item.name)
        return swept

    def _is_stray_stem(self, item: Stored) -> bool:
        """Old enough that no worker is still putting it, and its job ended without stems."""
        try:
            songhash = Track.parse(item.name).songhash
        except NotFound:
            return False  # not ours
        if not self._older(item, timedelta(hours=1)):
            return False
        job = self.queue.get(songhash)
        return job is not None and job.state in (State.CANCELLED, State.FAILED)

    def _sweep_inputs(self) -> list[str]:
        swept = []
        for item in self.storage.names(INPUTS):
            if self._is_orphan_input(item):
                self.storage.remove_input(item.name.removesuffix(".mp3"))
                swept.append(item.name)
        return swept

    def _is_orphan_input(self, item: Stored) -> bool:
        """Stored, but never queued: the API died in between and nobody posted again for a day."""
        try:
            songhash = parse_songhash(item.name.removesuffix(".mp3"))
        except NotFound:
            return False
        return self._older(item, ORPHAN_AFTER) and self.queue.get(songhash) is None

    def _sweep_waveforms(self) -> list[str]:
        """Drawings of stems that are not there: put in the last moment of a run that was cancelled, or lost."""
        swept = []
        with suppress(NotFound):  # a store set up before there was this bucket
            for item in self.storage.names(WAVEFORMS):
                if self._is_stray_waveform(item):
                    self.storage.remove_waveforms(item.name.removesuffix(".json"))
                    swept.append(item.name)
        return swept

    def _is_stray_waveform(self, item: Stored) -> bool:
        return self._older(item, timedelta(hours=1)) and not self.storage.stems_of(item.name.removesuffix(".json"))

    def _older(self, item: Stored, age: timedelta) -> bool:
        return item.modified is not None and self.now() - item.modified > age
