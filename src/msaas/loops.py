"""A thread that takes its turn again and again, and outlives what goes wrong in one. Has no work of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from msaas.errors import MSaaSError

log = logging.getLogger(__name__)


class Loop:
    """`turn` every so often, and at once when woken. `rests_first`: a part that restarts all the time does no more."""

    def __init__(
        self, name: str, turn: Callable[[], object], every_seconds: float, *, rests_first: bool = False
    ) -> None:
        self.name, self.turn, self.every_seconds, self.rests_first = name, turn, every_seconds, rests_first
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._woken = threading.Event()
        self._away = False

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
        while not self.stopping.is_set():
            self._quietly()
            self._rest()

    def _rest(self) -> None:
        self._woken.wait(self.every_seconds)
        self._woken.clear()

    def _quietly(self) -> None:
        """An outage is logged once, when it begins; anything else with its traceback. The thread lives on."""
        try:
            self.turn()
            self._away = False
        except MSaaSError as error:
            if not self._away:
                log.warning("%s waits reason=%s", self.name, error)
            self._away = True
        except Exception:
            log.exception("%s: a turn failed", self.name)
