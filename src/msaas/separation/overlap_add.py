"""Streaming overlap-add: takes a song's blocks, yields finished spans of its stems. Opens no files.

Each network of a model runs in a pass of its own over the song. The passes take turns, the one furthest behind first,
over one shared window of the song; only samples that later segments need are kept, so memory does not grow with the
song. `NetworkPass` is Demucs' overlap-add, `families.chunked.ChunkedPass` that of the other families.

Demucs' arithmetic is that of demucs.apply.apply_model(split=True) (demucs 4.1, apply.py): segments of the network's
length, a stride of (1 − overlap) of it, triangular weights, a short segment padded with the audio around it before
zeros. With shifts, each network runs once per shift over the song with up to half a second of zeros in front of it, and
the outputs are averaged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from msaas.errors import Cancelled
from msaas.options import DEMUCS_OVERLAP
from msaas.separation.engines.engine import Engine
from msaas.separation.engines.parallel import segments_ahead
from msaas.separation.families.chunked import ChunkedPass
from msaas.separation.mixture import FinishedBlocks, Level, Samples, Stats, Window
from msaas.separation.model import LoadedModel, Network

MAX_SHIFT_SECONDS = 0.5  # apply_model's


class Span(NamedTuple):
    """A finished section of the song; spans are consecutive, without gap or overlap."""

    mix: Samples  # [C, n], as decoded
    stems: Samples  # [S, C, n], in the requested order


@dataclass(frozen=True)
class Segment:
    """Samples [offset, offset + length) of the song, computed from the input [start, start + input_length)."""

    offset: int
    length: int
    start: int  # may lie before the song: zeros
    input_length: int


def separate_stream(
    blocks: Iterable[Samples],
    stats: Stats,
    model: LoadedModel,
    engines: Sequence[Engine],
    *,
    batch: int = 1,
    overlap: float | None = None,
    shifts: Sequence[int] = (),
    sources: Sequence[int] | None = None,
    progress: Callable[[float], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Span]:
    """Separates a song while it is decoded.

    blocks: [C, n] float32 at the model's rate and channels, `stats.total_samples` in total.
    engines: one per network in `model.networks`.
    batch: segments per forward of an engine without lanes.
    overlap: fraction of a segment, 0 ≤ overlap < 1; by default DEMUCS_OVERLAP for Demucs, and what its configuration
    says for another network.
    shifts: the zeros in front of the song, in samples, one number per run of a network (random_shifts); the same count
    for each network, in the networks' order. By default one run without zeros.
    sources: indices into `model.sources` (all by default); networks with weight 0 for all of them do not run.
    progress: called with the fraction done, rising to 1. stop: checked before each forward.
    Raises Cancelled if stop() returns True, SeparationError if the blocks end early.
    """
    selected = list(range(len(model.sources))) if sources is None else list(sources)
    runs = [
        (network, engine, zeros)
        for network, engine, leading_zeros in zip(
            model.networks, engines, _by_network(shifts, len(model.networks)), strict=True
        )
        if any(network.weights[source] for source in selected)
        for zeros in leading_zeros
    ]
    passes = [_pass_of(*run, stats, overlap, selected, alone=len(runs) == 1) for run in runs]
    window = Window(blocks, model.channels, stats.total_samples)
    work = sum(run.segments for run in passes)
    finished = 0
    with ExitStack() as begun:
        for run in passes:
            begun.callback(run.close)
        while finished < stats.total_samples:
            if stop():
                raise Cancelled("stopped on request")
            min(passes, key=lambda run: run.ready).advance(window, batch)
            progress(sum(run.index for run in passes) / work)
            ready = min(run.ready for run in passes)
            if ready == finished:  # another network of the bag is now furthest behind
                continue
            yield Span(window.cut(finished, ready), _blend(passes, ready - finished))
            finished = ready
            window.drop_before(min(finished, *(run.first_needed for run in passes)))


class Pass(Protocol):
    """One run of a network through the song. Counts from the song's first sample."""

    index: int  # the next segment
    segments: int  # in all

    @property
    def weights(self) -> Samples:
        """One per selected source."""
        ...

    @property
    def ready(self) -> int:
        """The number of samples that no later segment will change."""
        ...

    @property
    def first_needed(self) -> int:
        """The first sample that a later segment may read."""
        ...

    def advance(self, window: Window, batch: int) -> None:
        """Adds the output of the next segment from the engine's lanes, or of the next ones, at most `batch`."""
        ...

    def close(self) -> None:
        """Ends the segments that run ahead."""
        ...

    def take(self, samples: int) -> Samples:
        """The next finished samples of the selected sources, [S, C, samples], at the song's level."""
        ...


def _pass_of(
    network: Network,
    engine: Engine,
    zeros: int,
    stats: Stats,
    overlap: float | None,
    selected: list[int],
    *,
    alone: bool,
) -> Pass:
    if network.chunks is not None:
        return ChunkedPass(network, network.chunks, engine, stats, overlap, selected, zeros, alone=alone)
    overlap = DEMUCS_OVERLAP if overlap is None else overlap
    return NetworkPass(network, engine, Level.of(stats), stats.total_samples, overlap, selected, zeros, alone=alone)


def random_shifts(count: int, networks: int, sample_rate: int, seed: str) -> tuple[int, ...]:
    """The zeros in front of the song for `count` runs of each network, as apply_model(shifts=count) draws them: it
    skips 0 to 0.5 s of the half second of zeros that it puts in front."""
    max_shift = int(MAX_SHIFT_SECONDS * sample_rate)
    draw = random.Random(seed)  # noqa: S311 (no secret)
    return tuple(max_shift - draw.randint(0, max_shift) for _ in range(count * networks))


def _by_network(shifts: Sequence[int], networks: int) -> list[Sequence[int]]:
    count = len(shifts) // networks
    return [shifts[index * count : (index + 1) * count] or (0,) for index in range(networks)]


class NetworkPass:
    """One run of a network through the song: its next segment and its finished samples.

    Segments count from the first of the `zeros` samples in front of the song; `ready`, `first_needed` and `take` count
    from the song's first sample.
    """

    def __init__(
        self,
        network: Network,
        engine: Engine,
        level: Level,
        song_samples: int,
        overlap: float,
        selected: list[int],
        zeros: int = 0,
        *,
        alone: bool = True,
    ) -> None:
        """alone: whether no other pass uses the engine's lanes."""
        self._network, self._engine, self._level = network, engine, level
        self._zeros, self._total, self._selected = zeros, zeros + song_samples, selected
        self._columns = _as_slice([network.output_of(source).index for source in selected])
        self._stride = int((1 - overlap) * network.segment_samples)
        self._triangle = _triangle(network.segment_samples)
        self._tail: Samples | None = None  # [S, C, t], weighted sums that the next segment adds to
        self._tail_weight: Samples = np.zeros(0, np.float32)
        self._finished = FinishedBlocks()
        self.index = 0  # the next segment
        self.segments = -(-self._total // self._stride)
        self._ahead = segments_ahead(engine, self.segments, alone=alone)

    @property
    def weights(self) -> Samples:
        return np.array([self._network.weights[source] for source in self._selected], np.float32)

    @property
    def ready(self) -> int:
        """The number of the song's samples that no later segment will change."""
        return max(0, self._done - self._zeros)

    @property
    def _done(self) -> int:
        return min(self.index * self._stride, self._total)

    @property
    def first_needed(self) -> int:
        """The first sample that a later segment may read."""
        return self._done - self._zeros - self._network.valid_length(self._network.segment_samples) // 2

    def advance(self, window: Window, batch: int) -> None:
        """Adds the output of the next segment from the engine's lanes, or of the next ones: at most `batch`, and all of
        one length."""
        if self._ahead is not None:
            output = self._ahead.next(lambda index: torch.from_numpy(self._input(window, self._segment(index))[None]))
            self._add(self._segment(self.index), output[0].numpy())
            return
        segments = self._next(batch)
        stack = np.stack([self._input(window, segment) for segment in segments])  # [B, C, input_length]
        outputs = self._engine.forward(torch.from_numpy(stack)).numpy()  # [B, S, C, input_length]
        for segment, output in zip(segments, outputs, strict=True):
            self._add(segment, output)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def take(self, samples: int) -> Samples:
        """The next finished samples, [S, C, samples]."""
        return self._level.restored(self._finished.take(samples))

    def _next(self, batch: int) -> list[Segment]:
        last = min(self.index + batch, self.segments)
        segments = [self._segment(index) for index in range(self.index, last)]
        return [segment for segment in segments if segment.input_length == segments[0].input_length]

    def _segment(self, index: int) -> Segment:
        # TensorChunk.padded: the segment centred in the song around it.
        offset = index * self._stride
        length = min(self._network.segment_samples, self._total - offset)
        input_length = self._network.valid_length(length)
        return Segment(offset, length, offset - (input_length - length) // 2, input_length)

    def _input(self, window: Window, segment: Segment) -> Samples:
        start = segment.start - self._zeros
        end, song_samples = start + segment.input_length, self._total - self._zeros
        before, after = max(0, min(end, 0) - start), max(0, end - song_samples)
        samples = window.cut(max(0, start), max(0, min(song_samples, end)))
        # Zeros are added after normalisation, as in Demucs: they stand for the mean, not for silence.
        return np.pad(self._level.normalized(samples), ((0, 0), (before, after)))

    def _add(self, segment: Segment, output: Samples) -> None:
        trim = (output.shape[-1] - segment.length) // 2  # demucs.utils.center_trim
        weight = self._triangle[: segment.length].copy()
        total = weight * output[self._columns, :, trim : trim + segment.length]  # [S, C, length]
        if self._tail is not None:
            total[..., : self._tail.shape[-1]] += self._tail
            weight[: len(self._tail_weight)] += self._tail_weight
        self.index += 1
        step = self._done - segment.offset
        song = slice(max(0, self._zeros - segment.offset), step)
        self._finished.append(total[..., song] / weight[song])
        self._tail, self._tail_weight = total[..., step:].copy(), weight[step:]


def _as_slice(indices: list[int]) -> slice | list[int]:
    """Consecutive indices as a slice, which copies nothing."""
    consecutive = indices == list(range(indices[0], indices[0] + len(indices)))
    return slice(indices[0], indices[0] + len(indices)) if consecutive else indices


def _triangle(samples: int) -> Samples:
    """Rises to the middle and falls again; above 0, at most 1 (apply.py, transition_power 1)."""
    half = samples // 2
    ramp = np.concatenate([np.arange(1, half + 1), np.arange(samples - half, 0, -1)]).astype(np.float32)
    triangle: Samples = ramp / ramp.max()
    return triangle


def _blend(passes: Sequence[Pass], samples: int) -> Samples:
    """The next finished samples of all networks, averaged by their weights, [S, C, samples]."""
    if len(passes) == 1:
        return passes[0].take(samples)
    weights = np.stack([run.weights for run in passes])[:, :, None, None]  # [networks, S, 1, 1]
    outputs = np.stack([run.take(samples) for run in passes])  # [networks, S, C, samples]
    blended: Samples = (weights * outputs).sum(0) / weights.sum(0)
    return blended
