"""Pauses between retries while Redis or the object store is away."""

from __future__ import annotations

import threading


class Backoff:
    """Each `wait` is twice as long as the previous one: from 0.1 s up to `cap_seconds`."""

    def __init__(self, stopped: threading.Event | None = None, cap_seconds: float = 2) -> None:
        self._stopped, self._cap_seconds, self._seconds = stopped or threading.Event(), cap_seconds, 0.1

    def wait(self) -> None:
        self._stopped.wait(self._seconds)
        self._seconds = min(self._seconds * 2, self._cap_seconds)

    def reset(self) -> None:
        self._seconds = 0.1
