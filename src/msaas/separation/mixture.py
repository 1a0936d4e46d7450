"""The mixture as the networks' passes read it: its statistics, its level, and the section that is still needed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from msaas.errors import SeparationError

Samples = npt.NDArray[np.float32]


class Stats(Protocol):
    """Statistics of the whole song, known before the second pass."""

    @property
    def total_samples(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float: ...


@dataclass(frozen=True)
class Level:
    """The song's mean and deviation, which are removed for the networks (demucs.api.Separator.separate_tensor)."""

    mean: np.float32
    std: np.float32

    @classmethod
    def of(cls, stats: Stats) -> Level:
        # A song of one sample has no standard deviation; 1e-8 is Demucs' guard for silence.
        std = stats.std if math.isfinite(stats.std) else 0.0
        return cls(np.float32(stats.mean), np.float32(std + 1e-8))

    def normalized(self, samples: Samples) -> Samples:
        level: Samples = (samples - self.mean) / self.std
        return level

    def restored(self, samples: Samples) -> Samples:
        """The opposite of `normalized`, in place."""
        samples *= self.std
        samples += self.mean
        return samples


class Window:
    """The section of a song that is still needed; reads blocks as it moves on."""

    def __init__(self, blocks: Iterable[Samples], channels: int, total_samples: int) -> None:
        self._blocks = iter(blocks)
        self._total = total_samples
        self._start = 0
        self._held: Samples = np.zeros((channels, 0), np.float32)

    def cut(self, start: int, end: int) -> Samples:
        """Samples [start, end) as [C, end − start]; start must not precede the dropped samples."""
        self._fill(end)
        return self._held[:, start - self._start : end - self._start]

    def drop_before(self, before: int) -> None:
        """Drops everything before sample `before`."""
        drop = max(0, before - self._start)
        self._held = self._held[:, drop:].copy()
        self._start += drop

    def _fill(self, end: int) -> None:
        new_blocks: list[Samples] = []
        have = self._start + self._held.shape[1]
        while have < end:
            block = next(self._blocks, None)
            if block is None:
                raise SeparationError(f"the song ended at sample {have}; the first pass counted {self._total}")
            new_blocks.append(block)
            have += block.shape[1]
        if new_blocks:
            self._held = np.concatenate([self._held, *new_blocks], axis=1)


class FinishedBlocks:
    """A queue of finished samples [S, C, n]."""

    def __init__(self) -> None:
        self._blocks: deque[Samples] = deque()

    def append(self, block: Samples) -> None:
        self._blocks.append(block)

    def take(self, samples: int) -> Samples:
        """Removes and returns the next `samples`; there must be as many."""
        blocks: list[Samples] = []
        while samples:
            block = self._blocks.popleft()
            if block.shape[-1] > samples:
                self._blocks.appendleft(block[..., samples:])
                block = block[..., :samples]
            blocks.append(block)
            samples -= block.shape[-1]
        return np.concatenate(blocks, axis=-1) if len(blocks) > 1 else blocks[0]
