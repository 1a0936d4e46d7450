"""A fair thread pool: each caller has its own queue, and the queues take turns. Independent of HTTP."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple[Callable[[], Any], "Future[Any]"]


class FairPool:
    """`threads` threads run the submitted work; at most `max_per_caller` of them run one caller's work at a time.

    The threads live as long as the pool, so child processes that die with their starting thread are safe.
    """

    def __init__(self, threads: int, max_per_caller: int, name: str) -> None:
        self._max_per_caller = max_per_caller
        self._queues: OrderedDict[str, deque[_Work]] = OrderedDict()
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._stopped = False
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True).start()

    def submit(self, caller: str, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            self._queues.setdefault(caller, deque()).append((work, future))
            self._changed.notify()
        return future

    def stop(self) -> None:
        """Queued work is dropped; running work finishes."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _serve(self) -> None:
        while taken := self._take():
            caller, (work, future) = taken
            _run(work, future)
            del work, future, taken  # an idle thread must not keep the last request alive
            with self._changed:
                self._running[caller] -= 1
                if not self._running[caller]:
                    del self._running[caller]
                if caller in self._queues:
                    self._changed.notify()

    def _take(self) -> tuple[str, _Work] | None:
        with self._changed:
            while not self._stopped:
                if (caller := self._next_caller()) is not None:
                    return caller, self._pop(caller)
                self._changed.wait()
        return None

    def _next_caller(self) -> str | None:
        return next((caller for caller in self._queues if self._running[caller] < self._max_per_caller), None)

    def _pop(self, caller: str) -> _Work:
        queue = self._queues[caller]
        work = queue.popleft()
        self._queues.move_to_end(caller)
        if not queue:
            del self._queues[caller]
        self._running[caller] += 1
        return work


def _run(work: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
