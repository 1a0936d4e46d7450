"""A song's way in stages, each in a thread: reading, the network with overlap-add, and what is done with its output.

For cards: while the network waits for nothing else, the card works. On a CPU the stages would only compete with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

_END = object()


class ReadAhead(Generic[Item]):
    """An iterator over `items`, which a thread reads up to `count` ahead. What reading raises is raised in its place.

    On leaving the context the thread has ended, so that `items` may be closed.
    """

    def __init__(self, items: Iterator[Item], count: int) -> None:
        self._items, self._count = items, count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while len(self._ahead) < self._count:
            self._ahead.append(self._thread.submit(next, self._items, _END))
        item = self._ahead.popleft().result()
        if item is _END:
            raise StopIteration
        return item  # type: ignore[return-value]


class Behind(Generic[Item]):
    """Calls `work` with each item in a thread, in their order, at most `count` items behind its caller.

    An error of `work` is raised by the next call, or on leaving the context, where all items are done. After an error
    items that have not begun are dropped.
    """

    def __init__(self, work: Callable[[Item], object], count: int) -> None:
        self._work, self._count = work, count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._queued: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._queued:
                self._queued.popleft().result()
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def __call__(self, item: Item) -> None:
        if len(self._queued) >= self._count:
            self._queued.popleft().result()
        self._queued.append(self._thread.submit(self._work, item))
