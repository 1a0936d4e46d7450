"""What has to happen with or without a worker: taking back lost jobs, sweeping what is left over. In every process.

Reaping is one atomic script, so any number of parts may do it at once. Sweeps list whole buckets: a Redis lock
leaves each of them to one part.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from msaas.maintenance.loop import Background, Loop
from msaas.maintenance.sweep import Sweep
from msaas.queue import Queue
from msaas.redis_client import redis_errors
from msaas.storage import Storage

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 3600
SWEEP_AT_MOST_EVERY_SECONDS = 10
STOP_SECONDS = 5
SHARE = 20
SWEEP_LOCK = "housekeeping:sweep"
MEND_EVERY_SECONDS = 60.0
MEND_LOCK = "housekeeping:mend"


class Housekeeper:
    """Reaps twice a second (a lost job waits half a second past its lease) and sweeps every hour.

    Once a minute it looks for jobs that somebody took out of their lists. A thread each, and one for callbacks: neither
    a long listing nor a receiver that hangs may hold up the reaping.
    Outages are waited out.
    """

    def __init__(
        self,
        queue: Queue,
        storage: Storage,
        *,
        callbacks: Background | None = None,
        retention_seconds: float = 0,
        every_seconds: float = 0.5,
        sweep_every_seconds: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`retention_seconds`: how long a job is kept that has ended; 0 for ever."""
        self.queue, self.storage, self.callbacks = queue, storage, callbacks
        if sweep_every_seconds is None:
            sweep_every_seconds = sweep_interval(retention_seconds)
        self.sweep_every_seconds = sweep_every_seconds
        self._reaping = Loop("housekeeping", self.reap, every_seconds, rests_first=True)
        # The first sweep waits its turn too: a part that restarts in a loop must not list the buckets in a loop.
        self._sweeping = Loop("sweeping", self._sweep_unlisted, sweep_every_seconds, rests_first=True)
        self._mending = Loop("mending", self._mend_in_turn, MEND_EVERY_SECONDS, rests_first=True)
        self._sweep = Sweep(
            queue, storage, retention_seconds=retention_seconds, now=now, stopping=self._sweeping.stopping
        )

    def start(self) -> None:
        for part in self._parts():
            part.start()

    def stop(self) -> None:
        for part in self._parts():
            part.stop()
        give_up_at = time.monotonic() + STOP_SECONDS
        for loop in (self._reaping, self._sweeping, self._mending):
            loop.join(max(give_up_at - time.monotonic(), 0))

    def _parts(self) -> list[Background]:
        return [self._reaping, self._sweeping, self._mending, *([self.callbacks] if self.callbacks else [])]

    def reap(self) -> dict[str, str]:
        """Takes back jobs whose lease ran out; songhash ▸ what became of it."""
        reaped = self.queue.reap()
        for songhash, outcome in reaped.items():
            log.warning("lease ran out job=%s outcome=%s", songhash, outcome)
        return reaped

    def mend(self) -> dict[str, str]:
        """Puts right jobs whose record and lists disagree; songhash ▸ what it is now."""
        mended = self.queue.mend()
        for songhash, state in mended.items():
            log.warning("record and lists disagreed job=%s now=%s", songhash, state)
        return mended

    def _mend_in_turn(self) -> None:
        """It walks all keys: one part does it for all."""
        with redis_errors():
            locked = self.queue.redis.set(MEND_LOCK, "1", nx=True, px=int(MEND_EVERY_SECONDS * 900))
        if locked:
            self.mend()

    def sweep(self) -> list[str]:
        """Deletes what is left over, unless another part has done so lately, and says which objects went."""
        return list(self._swept())

    def _sweep_unlisted(self) -> None:
        deque(self._swept(), maxlen=0)  # the names of all that ages out need not fit into memory

    def _swept(self) -> Iterator[str]:
        with redis_errors():
            lock_ms = int(self.sweep_every_seconds * 900)
            locked = self.queue.redis.set(SWEEP_LOCK, "1", nx=True, px=max(lock_ms, 1))
        if locked:
            began = time.monotonic()
            yield from self._sweep()
            self._rest_from(time.monotonic() - began)

    def _rest_from(self, seconds: float) -> None:
        """A store so large that a sweep takes minutes is swept less often: one part in twenty of the time at most."""
        if seconds * SHARE > SWEEP_EVERY_SECONDS:
            with redis_errors():
                self.queue.redis.set(SWEEP_LOCK, "1", px=int(seconds * SHARE * 1000))


def sweep_interval(retention_seconds: float) -> float:
    """An hour; less where jobs are kept for less than four, so that none stays much longer than it should."""
    if not retention_seconds:
        return SWEEP_EVERY_SECONDS
    return min(SWEEP_EVERY_SECONDS, max(retention_seconds / 4, SWEEP_AT_MOST_EVERY_SECONDS))
