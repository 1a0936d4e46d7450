"""A song's outline for drawing: how loud each stretch of each stem is. Fed as it is made; reads and writes no file."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 2000  # more than a screen has room for, and three kilobytes a stem and kind
VERSION = 1
FULL = 255


class Waveform:
    """One stem's: the largest sample and the root of the mean square of each of at most `points` equal stretches."""

    def __init__(self, total_samples: int, points: int = POINTS) -> None:
        self.total_samples = total_samples
        self.done_samples = 0
        count = max(1, min(points, total_samples))
        # stretch k is samples [edges[k], edges[k + 1])
        self.edges = np.arange(count + 1, dtype=np.int64) * total_samples // count
        self._peak = np.zeros(count)
        self._squares = np.zeros(count)
        self._heard = np.zeros(count)  # samples, of all channels

    def add(self, block: NDArray[np.float32]) -> None:
        """block: [channels, n] float32, full scale ±1, which follows what was added before."""
        channels, length = block.shape
        if not length:
            return
        begins = self.done_samples
        first, last = np.searchsorted(self.edges, [begins, begins + length - 1], side="right") - 1
        starts = np.maximum(self.edges[first : last + 1] - begins, 0)
        span = slice(first, last + 1)
        loud = np.nan_to_num(np.abs(block), nan=0.0).max(axis=0)
        squares = np.square(np.nan_to_num(block, nan=0.0), dtype=np.float64).sum(axis=0)
        self._peak[span] = np.maximum(self._peak[span], np.maximum.reduceat(loud, starts))
        self._squares[span] += np.add.reduceat(squares, starts)
        self._heard[span] += channels * np.diff(np.append(starts, length))
        self.done_samples += length

    def to_json(self) -> dict[str, str]:
        """Each kind as base64 of a byte a stretch: 0 is silence, or not made yet, 255 full scale and above."""
        rms = np.sqrt(self._squares / np.maximum(self._heard, 1))
        return {"peak": _bytes(self._peak), "rms": _bytes(rms)}


class Waveforms:
    """All stems of a song, as far as they are made."""

    def __init__(self, stems: Iterable[str], total_samples: int, sample_rate: int) -> None:
        self.total_samples, self.sample_rate = total_samples, sample_rate
        self.stems = {stem: Waveform(total_samples) for stem in stems}

    def add(self, stem: str, block: NDArray[np.float32]) -> None:
        self.stems[stem].add(block)

    @property
    def done_samples(self) -> int:
        return min((outline.done_samples for outline in self.stems.values()), default=0)

    @property
    def complete(self) -> bool:
        return self.done_samples == self.total_samples

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "sample_rate": self.sample_rate,
            "total_samples": self.total_samples,
            "done_samples": self.done_samples,
            "stems": {stem: outline.to_json() for stem, outline in self.stems.items()},
        }


def _bytes(values: NDArray[np.float64]) -> str:
    steps = np.rint(np.minimum(values, 1.0) * FULL).astype(np.uint8)
    return base64.b64encode(steps.tobytes()).decode("ascii")
