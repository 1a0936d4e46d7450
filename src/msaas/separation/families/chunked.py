"""Overlap-add as Music-Source-Separation-Training (MSST) defines it, streaming in bounded memory.

The definition is `demix` of MSST's utils/model_utils.py in its generic mode, with one chunk at a time: chunks start
every `step = chunk // num_overlap` samples; each is weighted by a window that rises and falls linearly over a tenth of
the chunk, except at the beginning of the first chunk and at the end of the last; the sum is divided by the sum of the
weights. A song longer than twice the `border = chunk − step` is extended by the border at both ends, mirrored, which
is cut off again. A last chunk with more than half of its samples is filled up with its mirror image, a shorter one
with zeros.

Two differences: chunks that lie wholly in the extension at the end are not computed, since nothing of them is kept; and
where no window has any weight, which MSST turns into a sample of zero, the network's output stands.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from msaas.separation.engines.engine import Engine
from msaas.separation.engines.parallel import segments_ahead
from msaas.separation.mixture import FinishedBlocks, Level, Samples, Stats, Window
from msaas.separation.model import Chunks, Network

FADE_FRACTION = 10  # the window's fades are a tenth of the chunk
_LEAST_WEIGHT = np.float32(1e-6)  # does not change a sum in which another chunk's window is above zero

Positions = npt.NDArray[np.int64]


class ChunkedPass:
    """One run of a network through the song: its next chunk and its finished samples.

    Two scales of positions are used within. The song's own, from which `ready`, `first_needed` and `take` count; and
    the padded one, in which chunk k starts at k·step: `border` mirrored samples, `zeros` samples (a shift), the song,
    `border` mirrored samples.
    """

    def __init__(
        self,
        network: Network,
        chunks: Chunks,
        engine: Engine,
        stats: Stats,
        overlap: float | None,
        selected: list[int],
        zeros: int = 0,
        *,
        alone: bool = True,
    ) -> None:
        """overlap: fraction of a chunk instead of the network's own number of overlaps. alone: whether no other pass
        uses the engine's lanes."""
        self._engine, self._zeros, self._song = engine, zeros, stats.total_samples
        self._chunk = network.segment_samples
        self._step = _step_of(self._chunk, chunks, overlap)
        self._total = zeros + self._song
        border = self._chunk - self._step
        self._border = border if self._total > 2 * border else 0
        self._level = _level_of(stats, chunks)
        self._weights = np.array([network.weights[source] for source in selected], np.float32)
        self._max_segments = network.max_segments or math.inf
        self._outputs = [network.output_of(source) for source in selected]
        self._tail: Samples = np.zeros((0, 0, 0), np.float32)  # weighted sums that the next chunk adds to
        self._tail_weight: Samples = np.zeros(0, np.float32)
        self._finished = FinishedBlocks()
        self.index = 0
        self.segments = math.ceil((self._border + self._total) / self._step)
        one_at_a_time = network.max_segments is not None
        self._ahead = None if one_at_a_time else segments_ahead(engine, self.segments, alone=alone)

    @property
    def weights(self) -> Samples:
        return self._weights

    @property
    def ready(self) -> int:
        return self._song_position(self.index * self._step)

    @property
    def first_needed(self) -> int:
        mirrored = self._total - 1 - self._border  # the lowest that the end's mirror image reaches
        return max(0, min(self.index * self._step - self._border, mirrored) - self._zeros)

    def advance(self, window: Window, batch: int) -> None:
        if self._ahead is not None:
            output = self._ahead.next(lambda index: torch.from_numpy(self._input(window, index)[None]))
            self._add(window, output[0].numpy())
            return
        first, last = self.index, int(min(self.index + min(batch, self._max_segments), self.segments))
        stack = np.stack([self._input(window, index) for index in range(first, last)])  # [B, C, chunk]
        outputs = self._engine.forward(torch.from_numpy(stack)).numpy()  # [B, outputs, C, chunk]
        for output in outputs:
            self._add(window, output)

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def take(self, samples: int) -> Samples:
        return self._finished.take(samples)

    def _song_position(self, padded: int) -> int:
        return min(max(0, padded - self._border - self._zeros), self._song)

    def _end(self) -> int:
        return self._total + 2 * self._border

    def _input(self, window: Window, index: int) -> Samples:
        """The samples of a chunk, [C, chunk]. Zeros stand for the song's mean, as the shifts of Demucs."""
        positions, is_sound = self._positions(index)
        first, last = int(positions[is_sound].min(initial=self._song - 1)), int(positions[is_sound].max(initial=0))
        section = self._level.normalized(window.cut(min(first, last), last + 1))
        samples = section[:, np.where(is_sound, positions - min(first, last), 0)]
        samples[:, ~is_sound] = 0
        return samples

    def _positions(self, index: int) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """For each sample of a chunk its position in the song, and whether there is one: zeros have none."""
        end = self._end()
        padded = np.arange(index * self._step, index * self._step + self._chunk)
        beyond = padded >= end
        if self._chunk - beyond.sum() > self._chunk // 2:
            padded = np.where(beyond, 2 * (end - 1) - padded, padded)
            beyond = np.zeros_like(beyond)
        positions = np.abs(padded - self._border)
        positions = np.where(positions >= self._total, 2 * (self._total - 1) - positions, positions) - self._zeros
        return positions, ~beyond & (positions >= 0)

    def _add(self, window: Window, output: Samples) -> None:
        start = self.index * self._step
        length = min(self._chunk, self._end() - start)
        weight = self._window(start)[:length]
        total = weight * output[..., :length]  # [outputs, C, length]
        if self.index:
            total[..., : self._tail.shape[-1]] += self._tail
            weight[: len(self._tail_weight)] += self._tail_weight
        before = self.ready
        self.index += 1
        step = min(self._step, length)
        song = slice(before + self._zeros + self._border - start, self.ready + self._zeros + self._border - start)
        self._finish(window, before, total[..., song] / weight[song])
        self._tail, self._tail_weight = total[..., step:].copy(), weight[step:].copy()

    def _window(self, start: int) -> Samples:
        fade = self._chunk // FADE_FRACTION
        window = np.ones(self._chunk, np.float32)
        if fade and start > 0:
            window[:fade] = np.linspace(0, 1, fade, dtype=np.float32)
        if fade and (start == 0 or start + self._step < self._end()):
            window[-fade:] = np.linspace(1, 0, fade, dtype=np.float32)
        weights: Samples = np.maximum(window, _LEAST_WEIGHT)
        return weights

    def _finish(self, window: Window, before: int, outputs: Samples) -> None:
        """Appends the selected sources of [outputs, C, n] from the network, of the song from `before` on."""
        if not outputs.shape[-1]:
            return
        restored = self._level.restored(outputs)
        mix = window.cut(before, before + outputs.shape[-1])
        stems = [mix - restored[output.index] if output.rest else restored[output.index] for output in self._outputs]
        self._finished.append(np.stack(stems))


def _step_of(chunk: int, chunks: Chunks, overlap: float | None) -> int:
    if overlap is None:
        return max(1, chunk // chunks.overlaps)
    return max(1, round((1 - overlap) * chunk))


def _level_of(stats: Stats, chunks: Chunks) -> Level:
    """normalize_audio of MSST's utils/audio_utils.py: the deviation of all samples, not of a sample of them."""
    if not chunks.normalize:
        return Level(np.float32(0), np.float32(1))
    biased = math.sqrt((stats.total_samples - 1) / stats.total_samples)
    return Level(np.float32(stats.mean), np.float32(max(stats.std * biased, 1e-8)))  # silence has no deviation
