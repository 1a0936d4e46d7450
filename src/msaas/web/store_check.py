"""Tests that the object store accepts writes and deletes in each bucket, at a limited rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from msaas.errors import StorageUnavailable

GOOD_SECONDS = 15.0  # how long a result is kept; a kubelet probes each pod every few seconds
BAD_SECONDS = 3.0


class StoreCheck:
    """Calling it raises StorageUnavailable if the last check did. One caller checks, the others get its result.

    `check` is Storage.check: a store may answer, list and read, but accept no writes.
    """

    def __init__(self, check: Callable[[], object], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._check, self._clock = check, clock
        self._lock = threading.Lock()
        self._ask_again_at = float("-inf")
        self._failure: StorageUnavailable | None = None

    def __call__(self) -> None:
        with self._lock:
            if self._clock() >= self._ask_again_at:
                self._ask()
            failure = self._failure
        if failure is not None:
            raise failure.with_traceback(None)

    def _ask(self) -> None:
        try:
            self._check()
            self._failure = None
        except StorageUnavailable as error:
            self._failure = error
        self._ask_again_at = self._clock() + (BAD_SECONDS if self._failure else GOOD_SECONDS)
