"""Whether a worker has to stop, and when its loop last made progress. Shared by the loop and the current run."""

from __future__ import annotations

import threading
import time


class LoopState:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._deadline = float("inf")  # monotonic
        self._alive_at = time.monotonic()

    def stop(self, grace_seconds: float) -> None:
        """No new claim; the current job may finish within the grace period. Calling it again changes nothing."""
        if not self.stopping.is_set():
            self._deadline = time.monotonic() + grace_seconds
            self.stopping.set()

    def out_of_grace(self) -> bool:
        return time.monotonic() > self._deadline

    def alive(self) -> None:
        """Called by the loop and by the current run whenever they make progress."""
        self._alive_at = time.monotonic()

    @property
    def quiet_seconds(self) -> float:
        return time.monotonic() - self._alive_at
