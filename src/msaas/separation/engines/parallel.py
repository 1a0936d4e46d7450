"""Segments of a song in parallel on a CPU, each on its share of the cores.

A segment that uses all cores waits for the slowest of them at each of some thousand steps; two segments on one core
each do not wait. Lanes take segments as they become free and do not wait for each other either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from msaas.separation.engines.engine import Engine
from msaas.separation.interrupt import interruptible, must_stop

# Segments at a time. Each needs memory for its activations (docs/performance.md); four keeps most cores busy even if
# their number is not divisible by it.
MAX_PARALLEL = 4


@runtime_checkable
class ParallelEngine(Engine, Protocol):
    """An engine that runs several segments at a time."""

    parallel: int

    def submit(self, segment: Tensor, sharing: int) -> Future[Tensor]:
        """Begins the forward of one segment, [1, C, samples], in the caller's context. sharing: how many segments
        divide the cores among them."""
        ...

    def result(self, run: Future[Tensor]) -> Tensor:
        """Waits for the output of a segment, [1, S, C, samples]."""
        ...


class ParallelSegments:
    """A CPU engine that runs up to `parallel` segments at a time."""

    def __init__(self, engine: Engine, threads: int, parallel: int = 0, pool: ThreadPoolExecutor | None = None) -> None:
        """threads: in total. parallel: 0 stands for default_parallel(threads). pool: of as many threads, shared by
        the networks of a model."""
        self._engine, self._threads = engine, threads
        self.parallel = parallel or default_parallel(threads)
        self._pool = pool or segment_pool(self.parallel)

    def forward(self, batch: Tensor) -> Tensor:
        sharing = min(len(batch), self.parallel)
        if sharing == 1:
            return self._run(batch, self._threads)
        runs = [self.submit(segment, sharing) for segment in torch.split(batch, 1)]
        wait(runs)  # if one is interrupted, all are: none may run beside the next song
        return torch.cat([run.result() for run in runs])

    def submit(self, segment: Tensor, sharing: int) -> Future[Tensor]:
        return self._pool.submit(copy_context().run, self._run, segment, max(1, self._threads // sharing))

    def result(self, run: Future[Tensor]) -> Tensor:
        return run.result()

    def _run(self, batch: Tensor, threads: int) -> Tensor:
        torch.set_num_threads(threads)  # for the calling thread only, except in MKL; so set it for every run
        return self._engine.forward(batch)


def default_parallel(threads: int) -> int:
    """Segments at a time for a number of threads."""
    return max(1, min(threads, MAX_PARALLEL))


def segment_pool(parallel: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(parallel, thread_name_prefix="lane")


class SegmentsAhead:
    """The outputs of a pass' segments, in their order. Begins as many segments ahead as keep the lanes busy.

    If their number is not divisible by the number of lanes, the remainder comes first and shares all cores, so that no
    lane is left without a segment at the end.
    """

    def __init__(self, engine: ParallelEngine, segments: int, *, alone: bool) -> None:
        """alone: whether no other pass uses the lanes."""
        self._engine, self._segments = engine, segments
        self._first = segments % engine.parallel if alone else 0
        self._runs: deque[Future[Tensor]] = deque()
        self._begun = 0
        self._closed = threading.Event()

    def next(self, input_of: Callable[[int], Tensor]) -> Tensor:
        """The output of the next segment, [1, S, C, samples]. Raises what its forward raised.

        input_of: of the segment with this index, [1, C, samples].
        """
        self._begin(input_of)
        output = self._engine.result(self._runs[0])
        self._runs.popleft()
        return output

    def close(self) -> None:
        """Interrupts what still runs, and waits for it: none may run beside the next song."""
        self._closed.set()
        for run in self._runs:
            run.cancel()
        wait([run for run in self._runs if not run.cancelled()])
        self._runs.clear()

    def _begin(self, input_of: Callable[[int], Tensor]) -> None:
        while self._begun < self._first:
            self._submit(input_of, self._first)
        if self._begun - len(self._runs) < self._first:
            return
        while self._begun < self._segments and len(self._runs) <= self._engine.parallel:
            self._submit(input_of, self._engine.parallel)

    def _submit(self, input_of: Callable[[int], Tensor], sharing: int) -> None:
        outer, closed = must_stop(), self._closed
        with interruptible(lambda: closed.is_set() or outer()):
            self._runs.append(self._engine.submit(input_of(self._begun), sharing))
        self._begun += 1


def segments_ahead(engine: Engine, segments: int, *, alone: bool) -> SegmentsAhead | None:
    """None for an engine without lanes."""
    return SegmentsAhead(engine, segments, alone=alone) if isinstance(engine, ParallelEngine) else None
