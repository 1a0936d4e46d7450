"""The seconds of a job's phases, and engines whose time is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import torch

from msaas.separation.engines.engine import Engine
from msaas.separation.engines.parallel import ParallelEngine
from msaas.separation.engines.turns import DeviceTurns
from msaas.separation.interrupt import interruptible, must_stop


class Clock:
    """Adds up the seconds of named phases."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._seconds: dict[str, float] = {"measure": 0.0, "separate": 0.0, "model": 0.0, "encode": 0.0}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] += time.monotonic() - start

    def seconds(self) -> dict[str, float]:
        return {**self._seconds, "total": time.monotonic() - self._start}


def timed(engine: Engine, clock: Clock, stop: Callable[[], bool], turns: DeviceTurns) -> Engine:
    """An engine whose time counts as the model's, whose forward is interrupted if stop() returns True, and which waits
    for its turn. The segments of songs that share an engine with lanes take the lanes in turn anyway."""
    if isinstance(engine, ParallelEngine):
        return _TimedParallel(engine, clock, stop, turns)
    return _TimedEngine(engine, clock, stop, turns)


class _TimedEngine:
    def __init__(self, engine: Engine, clock: Clock, stop: Callable[[], bool], turns: DeviceTurns) -> None:
        self._engine, self._clock, self._stop, self._turns = engine, clock, stop, turns

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        with interruptible(self._stop), self._turns.turn(), self._clock.running("model"):
            return self._engine.forward(batch)


class _TimedParallel(_TimedEngine):
    """The time of lanes is that of waiting for their outputs."""

    def __init__(self, engine: ParallelEngine, clock: Clock, stop: Callable[[], bool], turns: DeviceTurns) -> None:
        super().__init__(engine, clock, stop, turns)
        self._parallel_engine, self.parallel = engine, engine.parallel

    def submit(self, segment: torch.Tensor, sharing: int) -> Future[torch.Tensor]:
        outer, stop = must_stop(), self._stop
        with interruptible(lambda: outer() or stop()):
            return self._parallel_engine.submit(segment, sharing)

    def result(self, run: Future[torch.Tensor]) -> torch.Tensor:
        with self._clock.running("model"):
            return self._parallel_engine.result(run)
