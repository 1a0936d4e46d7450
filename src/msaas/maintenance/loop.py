"""A thread that calls a function periodically and survives its errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from msaas.errors import MSaaSError

log = logging.getLogger(__name__)

# Pause after a failed turn, in addition to the interval.
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0


class Background(Protocol):
    """Work in threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class ErrorGuard:
    """Runs a turn and catches its errors. A repeated error is logged once, when it begins: an outage in one line,
    anything else with its traceback."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._last_error: type[Exception] | None = None

    def __call__(self, turn: Callable[[], object]) -> bool:
        """Returns False if the turn failed."""
        try:
            turn()
        except Exception as error:
            if type(error) is not self._last_error:
                self._log(error)
            self._last_error = type(error)
            return False
        self._last_error = None
        return True

    def _log(self, error: Exception) -> None:
        if isinstance(error, MSaaSError):
            log.warning("%s is waiting reason=%s", self.name, error)
        else:
            log.error("%s: a turn failed", self.name, exc_info=error)


class Loop:
    """Calls `turn` at an interval, and at once when woken. `waits_first`: waits before the first turn, so that a
    process that keeps restarting does not run it each time."""

    def __init__(
        self, name: str, turn: Callable[[], object], every_seconds: float, *, waits_first: bool = False
    ) -> None:
        self.name, self.turn, self.every_seconds, self.waits_first = name, turn, every_seconds, waits_first
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._woken = threading.Event()
        self._guard = ErrorGuard(name)

    def start(self) -> None:
        self.thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        """Returns at once; a running turn finishes."""
        self.stopping.set()
        self.wake()

    def join(self, timeout_seconds: float) -> None:
        if self.thread.is_alive():
            self.thread.join(timeout_seconds)

    def _run(self) -> None:
        if self.waits_first:
            self._wait()
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self.stopping.is_set():
            if self._guard(self.turn):
                pause_seconds = FIRST_PAUSE_SECONDS
            else:
                self.stopping.wait(pause_seconds)
                pause_seconds = min(pause_seconds * 2, MAX_PAUSE_SECONDS)
            self._wait()

    def _wait(self) -> None:
        self._woken.wait(self.every_seconds)
        self._woken.clear()
