"""How much memory a process and all that it starts take. Starts nothing itself."""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil


class Watch:
    """Largest resident memory of a process and its descendants together, looked at twenty times a second."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes, self._over = 0, threading.Event()
        self._root = psutil.Process(pid)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.05):
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
