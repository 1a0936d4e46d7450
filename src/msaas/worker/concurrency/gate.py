"""Who may use the separation process: several songs at a time, or one alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.1


class Stay:
    """A song's use of the process. `crowded`: another song has used it at the same time."""

    def __init__(self) -> None:
        self.crowded = False


class Gate:
    """Songs that want the process alone are preferred: no other enters while one of them waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._inside: set[Stay] = set()
        self._wanting_alone: set[Stay] = set()  # waiting for it or inside
        self._narrow_until = float("-inf")

    @property
    def open(self) -> bool:
        """Whether a further song may enter now."""
        with self._condition:
            return self._has_room()

    @property
    def is_narrow(self) -> bool:
        """Whether it takes one song at a time."""
        return self._clock() < self._narrow_until

    def narrow(self, seconds: float) -> None:
        """One song at a time from now on, for a while."""
        with self._condition:
            self._narrow_until = self._clock() + seconds

    @contextmanager
    def shared(self, check: Callable[[], object]) -> Iterator[Stay]:
        """Waits for a place beside other songs. check: called while waiting; what it raises ends the wait."""
        stay = Stay()
        with self._condition:
            self._wait(self._has_room, check)
            self._inside.add(stay)
            if len(self._inside) > 1:
                for other in self._inside:
                    other.crowded = True
        try:
            yield stay
        finally:
            self._leave(stay)

    @contextmanager
    def alone(self, check: Callable[[], object]) -> Iterator[Stay]:
        """Waits until no other song is inside, and keeps others out."""
        stay = Stay()
        with self._condition:
            self._wanting_alone.add(stay)
            try:
                self._wait(lambda: not self._inside, check)
            except BaseException:
                self._wanting_alone.discard(stay)
                raise
            self._inside.add(stay)
        try:
            yield stay
        finally:
            self._leave(stay)

    def _has_room(self) -> bool:
        return not self._wanting_alone and not (self.is_narrow and self._inside)

    def _wait(self, allowed: Callable[[], bool], check: Callable[[], object]) -> None:
        """The condition is held, but not during check."""
        while not allowed():
            self._condition.wait(POLL_SECONDS)
            self._condition.release()
            try:
                check()
            finally:
                self._condition.acquire()

    def _leave(self, stay: Stay) -> None:
        with self._condition:
            self._inside.discard(stay)
            self._wanting_alone.discard(stay)
            self._condition.notify_all()
