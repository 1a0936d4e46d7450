"""The threads of a worker that claim and run songs, one song each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from msaas.queue import Backoff


class Slot:
    """What one of the threads remembers from claim to claim."""

    def __init__(self, stopping: threading.Event) -> None:
        self.idle = True  # it found no song at its last try
        self.for_others = False  # only songs of other models waited at the last check
        self.pauses = Backoff(stopping)


class Slots:
    """`work` is the loop of one slot. The first slot is the worker's own thread, the others are started here."""

    def __init__(self, work: Callable[[Slot], None], stopping: threading.Event) -> None:
        self._work, self._stopping = work, stopping
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def run_first(self) -> None:
        """Returns when all slots have ended."""
        self._work(Slot(self._stopping))
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def grow_to(self, count: int) -> None:
        """Starts the slots that are missing; called by any slot, whenever it is known how many there should be."""
        with self._lock:
            while len(self._threads) + 1 < count and not self._stopping.is_set():
                thread = threading.Thread(
                    target=self._work, args=(Slot(self._stopping),), name=f"slot-{len(self._threads) + 2}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
