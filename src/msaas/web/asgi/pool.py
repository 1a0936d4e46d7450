"""Threads shared fairly: each caller's work waits in a line of its own, and the lines take turns. Knows no HTTP."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple[Callable[[], Any], "Future[Any]"]


class FairPool:
    """`threads` run what is submitted; at most `most_per_caller` of them work for one caller at a time.

    The threads live as long as the pool: a child process that dies with the thread that started it is safe in here.
    """

    def __init__(self, threads: int, most_per_caller: int, name: str) -> None:
        self._most = most_per_caller
        self._lines: OrderedDict[str, deque[_Work]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._over = False
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    def submit(self, caller: str, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            self._lines.setdefault(caller, deque()).append((work, future))
            self._changed.notify()
        return future

    def stop(self) -> None:
        """What waits is left undone; what runs ends by itself."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _serve(self) -> None:
        while taken := self._take():
            caller, (work, future) = taken
            _run(work, future)
            del work, future, taken  # an idle thread keeps nothing of the last request alive
            with self._changed:
                self._running[caller] -= 1
                if not self._running[caller]:
                    del self._running[caller]
                if caller in self._lines:
                    self._changed.notify()

    def _take(self) -> tuple[str, _Work] | None:
        with self._changed:
            while not self._over:
                if (caller := self._next_caller()) is not None:
                    return caller, self._pop(caller)
                self._changed.wait()
        return None

    def _next_caller(self) -> str | None:
        return next((caller for caller in self._lines if self._running[caller] < self._most), None)

    def _pop(self, caller: str) -> _Work:
        line = self._lines[caller]
        work = line.popleft()
        self._lines.move_to_end(caller)
        if not line:
            del self._lines[caller]
        self._running[caller] += 1
        return work


def _run(work: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
