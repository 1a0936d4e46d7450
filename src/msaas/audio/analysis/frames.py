"""Overlapping frames of a signal that arrives in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mono = NDArray[np.float32]
MAX_FRAMES = 256  # at a time: a few megabytes


class Frames:
    """Cuts consecutive blocks into frames of `size` samples, one every `hop` samples."""

    def __init__(self, size: int, hop: int) -> None:
        self._size, self._hop = size, hop
        self._left: Mono = np.zeros(0, np.float32)

    def of(self, block: Mono) -> list[NDArray[np.float32]]:
        """The frames that the block completes: arrays [at most MAX_FRAMES, size]."""
        held = np.concatenate([self._left, block]) if len(self._left) else block
        count = max(0, (len(held) - self._size) // self._hop + 1)
        self._left = held[count * self._hop :].copy()
        if not count:
            return []
        views: Any = np.lib.stride_tricks.sliding_window_view(held, self._size)[:: self._hop]
        return [views[first : first + MAX_FRAMES] for first in range(0, count, MAX_FRAMES)]
