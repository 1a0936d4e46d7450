"""Whether a worker has to stop, and whether its loop still turns: shared by the loop and the run in hand."""

from __future__ import annotations

import threading
import time


class LoopState:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._deadline = float("inf")  # monotonic
        self._turned = time.monotonic()

    def stop(self, grace_seconds: float) -> None:
        """No new claim; the job in hand has the grace to finish in. Calling it again changes nothing."""
        if not self.stopping.is_set():
            self._deadline = time.monotonic() + grace_seconds
            self.stopping.set()

    def out_of_grace(self) -> bool:
        return time.monotonic() > self._deadline

    def turned(self) -> None:
        """The loop, or the run in hand, went on."""
        self._turned = time.monotonic()

    @property
    def quiet_seconds(self) -> float:
        return time.monotonic() - self._turned
