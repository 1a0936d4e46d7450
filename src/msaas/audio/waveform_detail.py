"""Finer waveforms, for zooming: intervals of a fixed length, computed while the stems are made, read in parts.

A file has a header of HEADER_BYTES, JSON padded with spaces, then for each interval the peak and the RMS of each stem,
one byte each: a part of the song is one piece of the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

VERSION = 1
HEADER_BYTES = 4096
MIN_INTERVAL = 256  # samples: 5.8 ms at 44.1 kHz
MAX_INTERVALS = 1 << 20  # of a stem: at most 2 MiB each, in memory and stored
FULL = 255


class WaveformDetail:
    """One stem: the peak and the RMS of each interval, as bytes [intervals, 2]."""

    def __init__(self, total_samples: int) -> None:
        self.interval = interval_of(total_samples)
        self.values = np.zeros((-(-total_samples // self.interval), 2), np.uint8)
        self._done = 0
        self._peaks: NDArray[np.float64] = np.zeros(0)  # of the samples of an interval that is not complete
        self._squares: NDArray[np.float64] = np.zeros(0)

    def add(self, peaks: NDArray[Any], squares: NDArray[Any], *, last: bool) -> None:
        """peaks, squares: [n], over the channels; squares: their mean. `last`: the song ends with them."""
        held, means = np.concatenate([self._peaks, peaks]), np.concatenate([self._squares, squares])
        count = len(held) // self.interval
        whole = count * self.interval
        shape = count, self.interval
        self._write(held[:whole].reshape(shape), means[:whole].reshape(shape))
        self._peaks, self._squares = held[whole:].copy(), means[whole:].copy()
        if last and len(self._peaks):
            self._write(self._peaks[None], self._squares[None])

    def _write(self, peaks: NDArray[Any], squares: NDArray[Any]) -> None:
        if not len(peaks):
            return
        values = np.stack([peaks.max(axis=1), np.sqrt(squares.mean(axis=1))], axis=1)
        self.values[self._done : self._done + len(values)] = np.rint(np.minimum(values, 1.0) * FULL)
        self._done += len(values)


def interval_of(total_samples: int) -> int:
    """A power of two."""
    interval = MIN_INTERVAL
    while total_samples > interval * MAX_INTERVALS:
        interval *= 2
    return interval


def detail_file(stems: Mapping[str, WaveformDetail], total_samples: int, sample_rate: int) -> bytes:
    header = {
        "version": VERSION,
        "interval": interval_of(total_samples),
        "sample_rate": sample_rate,
        "total_samples": total_samples,
        "stems": list(stems),
    }
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    if len(text) > HEADER_BYTES:
        raise ValueError(f"{len(stems)} names of stems do not fit into {HEADER_BYTES} bytes")
    return text.ljust(HEADER_BYTES) + np.stack([stem.values for stem in stems.values()], axis=1).tobytes()


@dataclass(frozen=True)
class DetailHeader:
    interval: int
    total_samples: int
    stems: tuple[str, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """None if the data are not a header of this version."""
        try:
            found = json.loads(data)
            interval, total, stems = (
                int(found["interval"]),
                int(found["total_samples"]),
                tuple(map(str, found["stems"])),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if found["version"] != VERSION or len(data) != HEADER_BYTES or interval < 1 or total < 1 or not stems:
            return None
        return cls(interval, total, stems)

    def span(self, start_sample: int, end_sample: int) -> tuple[int, int]:
        """The intervals that have these samples: the first one, and their number, at least 1."""
        first = max(0, min(start_sample, self.total_samples - 1)) // self.interval
        last = -(-min(end_sample, self.total_samples) // self.interval)
        return first, max(1, last - first)

    def place(self, first: int, count: int) -> tuple[int, int]:
        """Where they are in the file: offset and length in bytes."""
        width = 2 * len(self.stems)
        return HEADER_BYTES + first * width, count * width

    def part(self, data: bytes, first: int, points: int) -> dict[str, Any]:
        """The members of an answer for the intervals in `data`, joined to at most `points`.

        Raises ValueError if the data are not whole intervals.
        """
        values = np.frombuffer(data, np.uint8).reshape(-1, len(self.stems), 2)
        edges = np.arange(min(points, len(values))) * len(values) // min(points, len(values))
        peaks = np.maximum.reduceat(values[..., 0], edges)
        sums = np.add.reduceat(np.square(values[..., 1], dtype=np.float64), edges)
        rms = np.rint(np.sqrt(sums / np.diff(np.append(edges, len(values)))[:, None])).astype(np.uint8)
        last = first + len(values)
        return {
            "start_sample": first * self.interval,
            "end_sample": min(last * self.interval, self.total_samples),
            "stems": {
                stem: {"peak": _text(peaks[:, index]), "rms": _text(rms[:, index])}
                for index, stem in enumerate(self.stems)
            },
        }


def coarse_part(whole: Mapping[str, Any], start_sample: int, end_sample: int) -> dict[str, Any]:
    """The members of an answer for a part of the stored waveforms: their own intervals. Raises ValueError, KeyError or
    TypeError if they are damaged."""
    total = int(whole["total_samples"])
    stems = {
        name: {kind: base64.b64decode(text, validate=True) for kind, text in kinds.items()}
        for name, kinds in whole["stems"].items()
    }
    count = min((len(values) for kinds in stems.values() for values in kinds.values()), default=1)
    first = max(0, min(start_sample, total - 1)) * count // total
    last = max(first + 1, min(count, -(-min(end_sample, total) * count // total)))
    return {
        "start_sample": first * total // count,
        "end_sample": last * total // count,
        "stems": {
            name: {kind: base64.b64encode(values[first:last]).decode("ascii") for kind, values in kinds.items()}
            for name, kinds in stems.items()
        },
    }


def _text(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
