"""Lanes take a song's segments without waiting for each other, and leave none behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from msaas.errors import Cancelled
from msaas.separation.engines.parallel import MAX_PARALLEL, ParallelSegments, SegmentsAhead, default_parallel
from msaas.separation.interrupt import check, interruptible
from msaas.separation.overlap_add import separate_stream

TIMEOUT_SECONDS = 60.0


class Gate:
    """A network whose segments, known by their first sample, wait until they are let through."""

    def __init__(self, *open_segments: int) -> None:
        self.begun: list[int] = []
        self.threads: dict[int, int] = {}
        self._open = set(open_segments)
        self._changed = threading.Condition()

    def forward(self, segment: torch.Tensor) -> torch.Tensor:
        index = int(segment[0, 0, 0])
        with self._changed:
            self.begun.append(index)
            self.threads[index] = torch.get_num_threads()
            self._changed.notify_all()
        while True:
            check()
            with self._changed:
                if index in self._open or self._changed.wait_for(lambda: index in self._open, 0.01):
                    return segment[:, None]

    def let_through(self, *indices: int) -> None:
        with self._changed:
            self._open.update(indices)
            self._changed.notify_all()

    def wait_until_begun(self, *indices: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(indices) <= set(self.begun), TIMEOUT_SECONDS)


@pytest.fixture(autouse=True)
def torch_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def segment(index: int) -> torch.Tensor:
    return torch.full((1, 2, 10), float(index))


def test_a_lane_takes_the_next_segment_while_another_still_works() -> None:
    gate = Gate(1)
    ahead = SegmentsAhead(ParallelSegments(gate, 2), 6, alone=True)
    first = threading.Thread(target=ahead.next, args=(segment,))
    first.start()
    gate.wait_until_begun(0, 1, 2)  # 2 by the lane that has done 1, while 0 still runs
    gate.let_through(*range(6))
    first.join(TIMEOUT_SECONDS)
    assert [int(ahead.next(segment)[0, 0, 0, 0]) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert sorted(gate.begun) == list(range(6))
    ahead.close()


@pytest.mark.parametrize(
    ("threads", "segments", "alone", "shares"),
    [
        (2, 3, True, [2, 1, 1]),  # the odd one first, on both
        (2, 4, True, [1, 1, 1, 1]),
        (2, 3, False, [1, 1, 1]),
        (4, 6, True, [2, 2, 1, 1, 1, 1]),
        (1, 2, True, [1, 1]),
        (8, 1, True, [8]),
    ],
)
def test_a_remainder_comes_first_and_shares_all_cores(threads, segments, alone, shares) -> None:
    gate = Gate(*range(segments))
    ahead = SegmentsAhead(ParallelSegments(gate, threads), segments, alone=alone)
    order = [int(ahead.next(segment)[0, 0, 0, 0]) for _ in range(segments)]
    assert order == list(range(segments))
    assert [gate.threads[index] for index in order] == shares


def test_the_others_wait_for_the_remainder() -> None:
    gate = Gate()
    ahead = SegmentsAhead(ParallelSegments(gate, 2), 3, alone=True)
    first = threading.Thread(target=ahead.next, args=(segment,))
    first.start()
    gate.wait_until_begun(0)
    assert gate.begun == [0]
    gate.let_through(0, 1, 2)
    first.join(TIMEOUT_SECONDS)
    assert gate.begun == [0]
    ahead.next(segment)
    ahead.next(segment)
    ahead.close()


def test_what_runs_ahead_ends_with_the_pass() -> None:
    gate = Gate(0)
    ahead = SegmentsAhead(ParallelSegments(gate, 2), 6, alone=True)
    ahead.next(segment)
    gate.wait_until_begun(1)
    ahead.close()  # returns although nobody lets 1 and 2 through
    assert 3 not in gate.begun


def test_a_stop_reaches_all_lanes() -> None:
    gate, stop = Gate(), threading.Event()
    ahead = SegmentsAhead(ParallelSegments(gate, 2), 6, alone=True)
    threading.Thread(target=lambda: (gate.wait_until_begun(0, 1), stop.set()), daemon=True).start()
    with interruptible(stop.is_set), pytest.raises(Cancelled):
        ahead.next(segment)
    ahead.close()


def test_an_error_of_a_segment_is_raised_in_its_turn() -> None:
    class Fails:
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if int(batch[0, 0, 0]) == 1:
                raise RuntimeError("out of memory")
            return batch[:, None]

    ahead = SegmentsAhead(ParallelSegments(Fails(), 2), 4, alone=True)
    ahead.next(segment)
    with pytest.raises(RuntimeError, match="out of memory"):
        ahead.next(segment)
    ahead.close()


def test_lanes_change_nothing(model, kit) -> None:
    wav = kit.noise(400_000)
    engine = type("Quiet", (), {"forward": staticmethod(lambda batch: batch[:, None].repeat(1, 4, 1, 1) / 4)})()
    lanes = ParallelSegments(engine, 2)

    def spans(engines):
        stream = separate_stream(kit.blocks_of(wav), kit.stats_of(wav), model, engines, shifts=(100, 2000))
        return np.concatenate([span.stems for span in stream], -1)

    assert np.array_equal(spans([lanes]), spans([engine]))


def test_a_song_that_is_given_up_leaves_no_segment_running(model, kit) -> None:
    wav = kit.noise(600_000)
    running: list[int] = []

    class Slow:
        def forward(self, batch):
            running.append(1)
            try:
                if len(running) > 1:
                    while True:
                        check()
                        threading.Event().wait(0.01)
                return batch[:, None].repeat(1, 4, 1, 1)
            finally:
                running.pop()

    stream = separate_stream(kit.blocks_of(wav), kit.stats_of(wav), model, [ParallelSegments(Slow(), 2)])
    next(stream)
    stream.close()
    assert not running


def test_lanes_are_few() -> None:
    assert [default_parallel(threads) for threads in (1, 2, 4, 64)] == [1, 2, 4, MAX_PARALLEL]
