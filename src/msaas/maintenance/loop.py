"""A thread that takes its turn again and again, and outlives what goes wrong in one. Has no work of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from msaas.errors import MSaaSError

log = logging.getLogger(__name__)

# On top of its usual rest, a turn that fails waits so long before the next.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class Background(Protocol):
    """Work in threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class ErrorGuard:
    """Runs a turn and outlives whatever goes wrong in it. What goes on going wrong is logged when it begins, once:
    an outage in a line, anything else with its traceback."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._told: type[Exception] | None = None

    def __call__(self, turn: Callable[[], object]) -> bool:
        """False where the turn failed."""
        try:
            turn()
        except Exception as error:
            if type(error) is not self._told:
                self._tell(error)
            self._told = type(error)
            return False
        self._told = None
        return True

    def _tell(self, error: Exception) -> None:
        if isinstance(error, MSaaSError):
            log.warning("%s waits reason=%s", self.name, error)
        else:
            log.error("%s: a turn failed", self.name, exc_info=error)


class Loop:
    """`turn` every so often, and at once when woken. `rests_first`: a part that restarts all the time does no more."""

    def __init__(
        self, name: str, turn: Callable[[], object], every_seconds: float, *, rests_first: bool = False
    ) -> None:
        self.name, self.turn, self.every_seconds, self.rests_first = name, turn, every_seconds, rests_first
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._woken = threading.Event()
        self._guard = ErrorGuard(name)

    def start(self) -> None:
        self.thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        """Returns at once; the turn that it is in goes on."""
        self.stopping.set()
        self.wake()

    def join(self, timeout_seconds: float) -> None:
        if self.thread.is_alive():
            self.thread.join(timeout_seconds)

    def _run(self) -> None:
        if self.rests_first:
            self._rest()
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self.stopping.is_set():
            if self._guard(self.turn):
                pause_seconds = FIRST_PAUSE_SECONDS
            else:
                self.stopping.wait(pause_seconds)
                pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            self._rest()

    def _rest(self) -> None:
        self._woken.wait(self.every_seconds)
        self._woken.clear()
