"""Whether a worker has to stop, and when its loops last made progress. Shared by the loops and their current runs."""

from __future__ import annotations

import threading
import time


class LoopState:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._deadline = float("inf")  # monotonic
        self._since = time.monotonic()  # the start, or the end of a loop
        self._alive_at: dict[int, float] = {}  # by thread: each loop and its run are in one

    def stop(self, grace_seconds: float) -> None:
        """No new claim; current jobs may finish within the grace period. Calling it again changes nothing."""
        if not self.stopping.is_set():
            self._deadline = time.monotonic() + grace_seconds
            self.stopping.set()

    def out_of_grace(self) -> bool:
        return time.monotonic() > self._deadline

    def alive(self) -> None:
        """Called by a loop and by its current run whenever they make progress."""
        self._alive_at[threading.get_ident()] = time.monotonic()

    def ended(self) -> None:
        """Called when a loop ends; its thread is not expected to make progress any more."""
        self._since = time.monotonic()
        self._alive_at.pop(threading.get_ident(), None)

    @property
    def quiet_seconds(self) -> float:
        """How long a loop has made no progress; of several, the longest time."""
        return time.monotonic() - min(self._alive_at.copy().values(), default=self._since)
