"""Waveform data for drawing: the level of each section of each stem, computed while it is made. No file access."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msaas.audio.waveform_detail import WaveformDetail, detail_file

POINTS = 2000  # more than the pixels of a screen, at three kilobytes per stem and kind
VERSION = 1
FULL = 255


class Waveform:
    """One stem: the peak and the RMS of each of at most `points` equal sections."""

    def __init__(self, total_samples: int, points: int = POINTS) -> None:
        self.total_samples = total_samples
        self.done_samples = 0
        count = max(1, min(points, total_samples))
        # section k is samples [edges[k], edges[k + 1])
        self.edges = np.arange(count + 1, dtype=np.int64) * total_samples // count
        self._peak = np.zeros(count)
        self._squares = np.zeros(count)
        self._counted = np.zeros(count)  # samples, of all channels
        self.detail = WaveformDetail(total_samples)

    def add(self, block: NDArray[np.float32]) -> None:
        """block: [channels, n] float32, full scale ±1, following the previous block."""
        channels, length = block.shape
        if not length:
            return
        begins = self.done_samples
        first, last = np.searchsorted(self.edges, [begins, begins + length - 1], side="right") - 1
        starts = np.maximum(self.edges[first : last + 1] - begins, 0)
        span = slice(first, last + 1)
        if not np.isfinite(block).all():
            block = np.nan_to_num(block, nan=0.0)
        magnitude = np.abs(block).max(axis=0)
        squares = np.square(block, dtype=np.float64).sum(axis=0)
        self._peak[span] = np.maximum(self._peak[span], np.maximum.reduceat(magnitude, starts))
        self._squares[span] += np.add.reduceat(squares, starts)
        self._counted[span] += channels * np.diff(np.append(starts, length))
        self.done_samples += length
        self.detail.add(magnitude, squares / channels, last=self.done_samples == self.total_samples)

    def to_json(self) -> dict[str, str]:
        """Each kind as base64 of one byte per section: 0 is silence or not computed yet, 255 full scale and above."""
        rms = np.sqrt(self._squares / np.maximum(self._counted, 1))
        return {"peak": _bytes(self._peak), "rms": _bytes(rms)}


class Waveforms:
    """The waveforms of the stems of a song, as far as computed."""

    def __init__(self, stems: Iterable[str], total_samples: int, sample_rate: int) -> None:
        self.total_samples, self.sample_rate = total_samples, sample_rate
        self.stems: dict[str, Waveform] = {}
        self.begin(stems)

    def begin(self, stems: Iterable[str]) -> None:
        """Begins further stems: the parts of a refined stem are computed after the others."""
        self.stems |= {stem: Waveform(self.total_samples) for stem in stems}

    def add(self, stem: str, block: NDArray[np.float32]) -> None:
        self.stems[stem].add(block)

    @property
    def done_samples(self) -> int:
        return min((waveform.done_samples for waveform in self.stems.values()), default=0)

    @property
    def complete(self) -> bool:
        return self.done_samples == self.total_samples

    def detail(self) -> bytes:
        """The file of the finer waveforms, once complete."""
        stems = {stem: waveform.detail for stem, waveform in self.stems.items()}
        return detail_file(stems, self.total_samples, self.sample_rate)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "sample_rate": self.sample_rate,
            "total_samples": self.total_samples,
            "done_samples": self.done_samples,
            "stems": {stem: waveform.to_json() for stem, waveform in self.stems.items()},
        }


def _bytes(values: NDArray[np.float64]) -> str:
    steps = np.rint(np.minimum(values, 1.0) * FULL).astype(np.uint8)
    return base64.b64encode(steps.tobytes()).decode("ascii")
