"""How much memory a process and all that it starts take. Starts nothing itself."""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil


class Watch:
    """Largest resident memory of a process and its descendants together, looked at every so often."""

    def __init__(self, pid: int, every_seconds: float = 0.05) -> None:
        self.peak_bytes, self._over, self._every_seconds = 0, threading.Event(), every_seconds
        self._root = psutil.Process(pid)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._every_seconds):
            self.peak_bytes = max(self.peak_bytes, self.now_bytes())

    def now_bytes(self) -> int:
        total = 0
        with suppress(psutil.NoSuchProcess):  # the root itself has ended
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
        return total

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return self.peak_bytes
