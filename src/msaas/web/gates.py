"""Limits on how many requests do a costly thing at once. Those beyond wait a little, then are refused as Busy."""

from __future__ import annotations

import threading
from types import TracebackType

from msaas.errors import Busy


class Gate:
    """A counted gate: `with gate:` holds one of its places. Raises Busy after `wait_seconds` without one."""

    def __init__(self, places: int, *, wait_seconds: float, what: str) -> None:
        self.places, self.wait_seconds, self.what = places, wait_seconds, what
        self._free = threading.BoundedSemaphore(places)

    def enter(self) -> None:
        if not self._free.acquire(timeout=self.wait_seconds):
            raise Busy(f"{self.places} {self.what} at once is the limit here; try again in a few seconds")

    def leave(self) -> None:
        self._free.release()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
