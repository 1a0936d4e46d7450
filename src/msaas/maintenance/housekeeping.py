"""Housekeeping in every process, with or without a worker: requeues lost jobs, sweeps leftover objects.

Reaping is one atomic script, so any number of processes may run it. Sweeps list whole buckets: a Redis lock gives each
sweep to one process.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from msaas.maintenance.loop import Background, Loop
from msaas.maintenance.sweep import Forget, OtherSweep, Sweep
from msaas.queue import Queue
from msaas.redis_client import redis_errors
from msaas.storage import Storage

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 3600
MIN_SWEEP_SECONDS = 10
STOP_SECONDS = 5
SHARE = 20
SWEEP_LOCK = "housekeeping:sweep"
REPAIR_EVERY_SECONDS = 60.0
REPAIR_LOCK = "housekeeping:mend"


class Housekeeper:
    """Reaps twice a second (a lost job waits half a second past its lease) and sweeps every hour.

    Once a minute it repairs jobs whose lists were changed by hand. Each task has its own thread, and so have callbacks:
    neither a long listing nor a slow receiver may delay the reaping. It waits for Redis and S3 during outages.
    """

    def __init__(
        self,
        queue: Queue,
        storage: Storage,
        *,
        callbacks: Background | None = None,
        fetches: Queue | None = None,
        batches: Queue | None = None,
        mixes: Queue | None = None,
        workers: Sequence[Background] = (),
        other_sweeps: Sequence[OtherSweep] = (),
        forget: Forget = lambda _: iter(()),
        retention_seconds: float = 0,
        every_seconds: float = 0.5,
        sweep_every_seconds: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`fetches`: the queue of songs to fetch; `batches`: of batches; `mixes`: of mixes; `workers`: what works on
        them.

        `forget`: deletes what else belongs to a song. `retention_seconds`: how long ended jobs are kept; 0: always."""
        self.queue, self.storage = queue, storage
        self._queues = [one for one in (queue, fetches, batches, mixes) if one is not None]
        self._background = [*([callbacks] if callbacks else []), *workers]
        if sweep_every_seconds is None:
            sweep_every_seconds = sweep_interval(retention_seconds)
        self.sweep_every_seconds = sweep_every_seconds
        self._reaping = Loop("housekeeping", self.reap, every_seconds, waits_first=True)
        # The first sweep waits, too: a process that restarts in a loop must not list the buckets in a loop.
        self._sweeping = Loop("sweeping", self._sweep_unlisted, sweep_every_seconds, waits_first=True)
        self._repairing = Loop("mending", self._repair_once, REPAIR_EVERY_SECONDS, waits_first=True)
        self._sweep = Sweep(
            queue,
            storage,
            retention_seconds=retention_seconds,
            now=now,
            stopping=self._sweeping.stopping,
            others=other_sweeps,
            forget=forget,
        )

    def start(self) -> None:
        for loop in self._loops():
            loop.start()

    def stop(self) -> None:
        for loop in self._loops():
            loop.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for loop in (self._reaping, self._sweeping, self._repairing):
            loop.join(max(deadline - time.monotonic(), 0))

    def _loops(self) -> list[Background]:
        return [self._reaping, self._sweeping, self._repairing, *self._background]

    def reap(self) -> dict[str, str]:
        """Requeues jobs whose lease has expired; returns songhash ▸ outcome."""
        reaped = {songhash: outcome for queue in self._queues for songhash, outcome in queue.reap().items()}
        for songhash, outcome in reaped.items():
            log.warning("lease expired job=%s outcome=%s", songhash, outcome)
        return reaped

    def repair(self) -> dict[str, str]:
        """Repairs jobs whose record and lists disagree; returns songhash ▸ new state."""
        repaired = {songhash: state for queue in self._queues for songhash, state in queue.repair().items()}
        for songhash, state in repaired.items():
            log.warning("record and lists disagreed job=%s now=%s", songhash, state)
        return repaired

    def _repair_once(self) -> None:
        """It scans all keys, so one process does it for all."""
        with redis_errors():
            locked = self.queue.redis.set(REPAIR_LOCK, "1", nx=True, px=int(REPAIR_EVERY_SECONDS * 900))
        if locked:
            self.repair()

    def sweep(self) -> list[str]:
        """Deletes leftovers, unless another process did so recently; returns the deleted objects' names."""
        return list(self._sweep_if_due())

    def _sweep_unlisted(self) -> None:
        deque(self._sweep_if_due(), maxlen=0)  # the list of all expired objects may not fit into memory

    def _sweep_if_due(self) -> Iterator[str]:
        with redis_errors():
            lock_ms = int(self.sweep_every_seconds * 900)
            locked = self.queue.redis.set(SWEEP_LOCK, "1", nx=True, px=max(lock_ms, 1))
        if locked:
            began = time.monotonic()
            yield from self._sweep()
            self._delay_next_sweep(time.monotonic() - began)

    def _delay_next_sweep(self, seconds: float) -> None:
        """Sweeps a store less often if a sweep takes minutes: at most a twentieth of the time."""
        if seconds * SHARE > SWEEP_EVERY_SECONDS:
            with redis_errors():
                self.queue.redis.set(SWEEP_LOCK, "1", px=int(seconds * SHARE * 1000))


def sweep_interval(retention_seconds: float) -> float:
    """An hour, or less if jobs are kept for less than four hours, so that none stays much longer than it should."""
    if not retention_seconds:
        return SWEEP_EVERY_SECONDS
    return min(SWEEP_EVERY_SECONDS, max(retention_seconds / 4, MIN_SWEEP_SECONDS))
