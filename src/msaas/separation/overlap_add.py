"""Streaming overlap-add: a song's blocks in, finished spans of its stems out. Opens no file, keeps no song.

The arithmetic is that of demucs.apply.apply_model(shifts=0, split=True) (demucs 4.1, apply.py): segments of the
network's own length, a stride of (1 − overlap) of it, triangular weights, a short segment padded with the
audio around it before zeros. Only what later segments still need is held, so memory does not grow with the song.
The parts of a bag go forward in turn, the one furthest behind first, over one shared window of the song.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from msaas.errors import Cancelled, SeparationError
from msaas.separation.engines.engine import Engine
from msaas.separation.model import LoadedModel, Network

Samples = npt.NDArray[np.float32]


class Stats(Protocol):
    """What is known of the whole song before the second pass."""

    @property
    def total_samples(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float: ...


class Span(NamedTuple):
    """A finished stretch of the song; spans follow each other without gap or overlap."""

    mix: Samples  # [C, n], as decoded
    stems: Samples  # [S, C, n], in the order asked for


@dataclass(frozen=True)
class Level:
    """The song's mean and deviation, which the networks work without (demucs.api.Separator.separate_tensor)."""

    mean: np.float32
    std: np.float32

    @classmethod
    def of(cls, stats: Stats) -> Level:
        # A song of one sample has no standard deviation; 1e-8 is Demucs' guard for silence.
        std = stats.std if math.isfinite(stats.std) else 0.0
        return cls(np.float32(stats.mean), np.float32(std + 1e-8))

    def taken_off(self, samples: Samples) -> Samples:
        level: Samples = (samples - self.mean) / self.std
        return level

    def put_back(self, samples: Samples) -> Samples:
        loud: Samples = samples * self.std + self.mean
        return loud


@dataclass(frozen=True)
class Segment:
    """Samples [offset, offset + length) of the song, judged from [start, start + seen)."""

    offset: int
    length: int
    start: int  # may lie before the song: zeros
    seen: int


def separate_stream(
    blocks: Iterable[Samples],
    stats: Stats,
    model: LoadedModel,
    engines: Sequence[Engine],
    *,
    batch: int = 1,
    overlap: float = 0.25,
    sources: Sequence[int] | None = None,
    progress: Callable[[float], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Span]:
    """Separates a song as it is decoded.

    blocks: [C, n] float32 at the model's rate and channels, `stats.total_samples` in all.
    engines: one for each of `model.parts`.
    batch: segments a forward. overlap: part of a segment, 0 ≤ overlap < 1.
    sources: indices into `model.sources` (all by default); parts of no weight for them do not run.
    progress: gets the part of the work done, rising to 1. stop: asked before each forward.
    Raises Cancelled where stop() is true, SeparationError where the blocks end too soon.
    """
    wanted = list(range(len(model.sources))) if sources is None else list(sources)
    level = Level.of(stats)
    lanes = [
        NetworkPass(part, engine, level, stats.total_samples, overlap, wanted)
        for part, engine in zip(model.parts, engines, strict=True)
        if any(part.weights[source] for source in wanted)
    ]
    window = Window(blocks, model.channels, stats.total_samples)
    work = sum(lane.segments for lane in lanes)
    finished = 0
    while finished < stats.total_samples:
        if stop():
            raise Cancelled("stopped on request")
        min(lanes, key=lambda lane: lane.ready).advance(window, batch)
        progress(sum(lane.index for lane in lanes) / work)
        ready = min(lane.ready for lane in lanes)
        if ready == finished:  # of a bag's parts, another is now furthest behind
            continue
        yield Span(window.cut(finished, ready), level.put_back(_blend(lanes, ready - finished)))
        finished = ready
        window.forget(min(finished, *(lane.still_needed for lane in lanes)))


class Window:
    """The stretch of a song that is still needed, filled from its blocks as it moves on."""

    def __init__(self, blocks: Iterable[Samples], channels: int, total_samples: int) -> None:
        self._blocks = iter(blocks)
        self._total = total_samples
        self._start = 0
        self._held: Samples = np.zeros((channels, 0), np.float32)

    def cut(self, start: int, end: int) -> Samples:
        """Samples [start, end) as [C, end − start]; start is not before what was forgotten."""
        self._fill(end)
        return self._held[:, start - self._start : end - self._start]

    def forget(self, before: int) -> None:
        """Lets go of everything before sample `before`."""
        drop = max(0, before - self._start)
        self._held = self._held[:, drop:].copy()
        self._start += drop

    def _fill(self, end: int) -> None:
        fresh: list[Samples] = []
        have = self._start + self._held.shape[1]
        while have < end:
            block = next(self._blocks, None)
            if block is None:
                raise SeparationError(f"the song ended at sample {have}; {self._total} were counted before")
            fresh.append(block)
            have += block.shape[1]
        if fresh:
            self._held = np.concatenate([self._held, *fresh], axis=1)


class NetworkPass:
    """One part's way through the song: which segment comes next, and what is finished so far."""

    def __init__(
        self, part: Network, engine: Engine, level: Level, total: int, overlap: float, wanted: list[int]
    ) -> None:
        self._part, self._engine, self._level = part, engine, level
        self._total, self._wanted = total, wanted
        self._stride = int((1 - overlap) * part.segment_samples)
        self._triangle = _triangle(part.segment_samples)
        self._tail: Samples | None = None  # [S, C, t], weighted sums that the next segment adds to
        self._tail_weight: Samples = np.zeros(0, np.float32)
        self._finished: deque[Samples] = deque()
        self.index = 0  # the next segment
        self.segments = -(-self._total // self._stride)

    @property
    def weights(self) -> Samples:
        return np.array([self._part.weights[source] for source in self._wanted], np.float32)

    @property
    def ready(self) -> int:
        """Samples that no segment to come will change."""
        return min(self.index * self._stride, self._total)

    @property
    def still_needed(self) -> int:
        """The first sample that a segment to come may look at."""
        return self.ready - self._part.valid_length(self._part.segment_samples) // 2

    def advance(self, window: Window, batch: int) -> None:
        """Runs the next segments, at most `batch` and all of one size, and adds them up."""
        segments = self._next(batch)
        stack = np.stack([self._see(window, segment) for segment in segments])  # [B, C, seen]
        outputs = self._engine.forward(torch.from_numpy(stack)).numpy()  # [B, S, C, seen]
        for segment, output in zip(segments, outputs, strict=True):
            self._add(segment, output)

    def take(self, samples: int) -> Samples:
        """The next finished samples, [S, C, samples], level taken off."""
        blocks: list[Samples] = []
        while samples:
            block = self._finished.popleft()
            if block.shape[-1] > samples:
                self._finished.appendleft(block[..., samples:])
                block = block[..., :samples]
            blocks.append(block)
            samples -= block.shape[-1]
        return np.concatenate(blocks, axis=-1) if len(blocks) > 1 else blocks[0]

    def _next(self, batch: int) -> list[Segment]:
        last = min(self.index + batch, self.segments)
        segments = [self._segment(index) for index in range(self.index, last)]
        return [segment for segment in segments if segment.seen == segments[0].seen]

    def _segment(self, index: int) -> Segment:
        # TensorChunk.padded: the song around the segment, centred.
        offset = index * self._stride
        length = min(self._part.segment_samples, self._total - offset)
        seen = self._part.valid_length(length)
        return Segment(offset, length, offset - (seen - length) // 2, seen)

    def _see(self, window: Window, segment: Segment) -> Samples:
        end = segment.start + segment.seen
        heard = window.cut(max(0, segment.start), min(self._total, end))
        # Zeros come after the level is taken off, as in Demucs: they stand for the mean, not for silence.
        return np.pad(self._level.taken_off(heard), ((0, 0), (max(0, -segment.start), max(0, end - self._total))))

    def _add(self, segment: Segment, output: Samples) -> None:
        trim = (output.shape[-1] - segment.length) // 2  # demucs.utils.center_trim
        weight = self._triangle[: segment.length].copy()
        total = weight * output[self._wanted, :, trim : trim + segment.length]  # [S, C, length]
        if self._tail is not None:
            total[..., : self._tail.shape[-1]] += self._tail
            weight[: len(self._tail_weight)] += self._tail_weight
        self.index += 1
        step = self.ready - segment.offset
        self._finished.append(total[..., :step] / weight[:step])
        self._tail, self._tail_weight = total[..., step:].copy(), weight[step:]


def _triangle(samples: int) -> Samples:
    """Rises to the middle and falls again, never zero, 1 at most (apply.py, transition_power 1)."""
    half = samples // 2
    ramp = np.concatenate([np.arange(1, half + 1), np.arange(samples - half, 0, -1)]).astype(np.float32)
    triangle: Samples = ramp / ramp.max()
    return triangle


def _blend(lanes: Sequence[NetworkPass], samples: int) -> Samples:
    """The lanes' next finished samples, averaged by their weights, [S, C, samples]."""
    if len(lanes) == 1:
        return lanes[0].take(samples)
    weights = np.stack([lane.weights for lane in lanes])[:, :, None, None]  # [parts, S, 1, 1]
    outputs = np.stack([lane.take(samples) for lane in lanes])  # [parts, S, C, samples]
    blended: Samples = (weights * outputs).sum(0) / weights.sum(0)
    return blended
