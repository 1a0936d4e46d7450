"""Measures mean and standard deviation, which Demucs normalises by, in one streaming pass. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrackStats:
    """`mean` and `std` of the mono reference (the mean over channels); `std` is unbiased, and 0 below two samples.

    `peak`: the largest magnitude of any channel.
    """

    total_samples: int
    mean: float
    std: float
    peak: float = 0.0


class Blocks(Protocol):
    def blocks(self) -> Iterable[NDArray[np.float32]]: ...


def measure(decoder: Blocks) -> TrackStats:
    """The first pass: equals `ref = wav.mean(0); ref.mean(), ref.std()` in demucs.api.Separator.

    In float64, block by block, merged as in Chan, Golub & LeVeque (1979), which avoids the cancellation of subtracting
    two large sums. The caller adds Demucs' 1e-8 to the deviation.
    """
    total, mean, squares, peak = 0, 0.0, 0.0, 0.0
    for block in decoder.blocks():
        peak = max(peak, float(np.abs(block).max()))
        mono = block.mean(axis=0, dtype=np.float64)
        count, block_mean = mono.size, float(mono.mean())
        delta = block_mean - mean
        squares += float(((mono - block_mean) ** 2).sum()) + delta * delta * total * count / (total + count)
        mean += delta * count / (total + count)
        total += count
    return TrackStats(total, mean, sqrt(squares / (total - 1)) if total > 1 else 0.0, peak)
