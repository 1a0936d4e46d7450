"""Limits the concurrency of costly work. Requests above the limit wait briefly, then raise Busy."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from msaas.errors import Busy


@dataclass(eq=False)
class _Waiter:
    caller: str
    admitted: bool = False


class ConcurrencyLimit:
    """A limit shared between callers: at most `share` slots each, and of those that wait, the caller with the fewest
    slots goes first. At most `waiting` requests per caller wait: each occupies a thread.

    For short work; StreamLimit is for long-lived streams.
    """

    def __init__(self, places: int, *, share: int, waiting: int, wait_seconds: float, what: str) -> None:
        self.places, self.share, self.waiting = places, share, waiting
        self.wait_seconds, self.what = wait_seconds, what
        self._held: Counter[str] = Counter()
        self._queue: list[_Waiter] = []
        self._changed = threading.Condition()

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """Raises Busy after `wait_seconds` without a slot, and at once if too many of the caller's requests are
        waiting."""
        self._enter(caller)
        try:
            yield
        finally:
            with self._changed:
                self._held[caller] -= 1
                self._held += Counter()  # drops zero counts
                self._admit()

    def _enter(self, caller: str) -> None:
        one = _Waiter(caller)
        with self._changed:
            if sum(other.caller == caller for other in self._queue) >= self.waiting:
                raise Busy(
                    f"{self.waiting} of your requests are already waiting for {self.what}; retry in a few seconds"
                )
            self._queue.append(one)
            self._admit()
            if not self._changed.wait_for(lambda: one.admitted, self.wait_seconds):
                self._queue.remove(one)
                raise Busy(f"the limit is {self.places} concurrent {self.what}; retry in a few seconds")

    def _admit(self) -> None:
        """Call with the lock held."""
        while self._held.total() < self.places:
            fitting = [one for one in self._queue if self._held[one.caller] < self.share]
            if not fitting:
                return
            first = min(fitting, key=lambda one: self._held[one.caller])  # the longest waiting among equals
            self._queue.remove(first)
            first.admitted = True
            self._held[first.caller] += 1
            self._changed.notify_all()


@dataclass(eq=False)
class StreamSlot:
    """A slot of a StreamLimit. `revoked` is set when another caller needs it: its holder must end soon."""

    caller: str
    revoked: threading.Event = field(default_factory=threading.Event)


class StreamLimit:
    """Slots for long-lived streams, without fixed shares: one caller may use all of them until others come.

    With all slots taken, a caller that has at least two fewer than the one with the most gets that one's oldest slot.
    So each caller ends up with an equal share, and no stream is cut without need.
    """

    def __init__(self, places: int, *, what: str) -> None:
        self.places, self.what = places, what
        self._held: list[StreamSlot] = []  # oldest first
        self._lock = threading.Lock()

    def enter(self, caller: str) -> StreamSlot:
        """Raises Busy if all slots are taken and nobody has many more than this caller."""
        with self._lock:
            if len(self._held) >= self.places:
                self._make_room(caller)
            place = StreamSlot(caller)
            self._held.append(place)
            return place

    def leave(self, place: StreamSlot) -> None:
        """Also for a revoked slot. Idempotent."""
        with self._lock:
            if place in self._held:
                self._held.remove(place)

    def _make_room(self, caller: str) -> None:
        count = Counter(one.caller for one in self._held)
        largest, most = count.most_common(1)[0]
        if most < count[caller] + 2:
            raise Busy(f"the limit is {self.places} concurrent {self.what}; retry in a few seconds")
        oldest = next(one for one in self._held if one.caller == largest)
        self._held.remove(oldest)
        oldest.revoked.set()
