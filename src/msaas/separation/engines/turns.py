"""One forward at a time on a device that several songs share; the song that began first goes first.

A song that has to wait decodes, adds up and encodes meanwhile, so that the device is never idle while a song needs it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from msaas.separation.interrupt import check

CHECK_SECONDS = 0.1  # how soon a song that waits notices that it has been stopped
REPORT_SECONDS = 10.0


@dataclass(frozen=True)
class _Song:
    place: int  # in the order of their beginning
    waits: Callable[[], object]


_song: ContextVar[_Song | None] = ContextVar("song", default=None)
_places = itertools.count(1)


@contextmanager
def song_in_turn(waits: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Forwards in this context, or a copy of it, are those of one song. waits: called every REPORT_SECONDS while the
    song waits for its turn."""
    token = _song.set(_Song(next(_places), waits))
    try:
        yield
    finally:
        _song.reset(token)


class DeviceTurns:
    """The turns of one device."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._waiting: list[int] = []  # places
        self._taken = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for the turn of the context's song. Raises Cancelled if its forward must stop."""
        song = _song.get() or _Song(0, lambda: None)
        self._take(song)
        try:
            yield
        finally:
            with self._condition:
                self._taken = False
                self._condition.notify_all()

    def _take(self, song: _Song) -> None:
        reported = self._clock()
        with self._condition:
            self._waiting.append(song.place)
            try:
                while self._taken or min(self._waiting) < song.place:
                    check()
                    self._condition.wait(CHECK_SECONDS)
                    if self._clock() - reported >= REPORT_SECONDS:
                        reported = self._clock()
                        song.waits()
                self._taken = True
            finally:
                self._waiting.remove(song.place)
                self._condition.notify_all()
