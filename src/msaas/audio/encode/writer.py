"""The base class of all stem writers: counts samples, tracks the peak, cleans up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from msaas.audio.encode.disk_full import full_disk_as_scratch_full
from msaas.audio.tags import StemTags

Block = NDArray[np.float32]  # [channels, samples]; full scale is ±1
HIGHEST_PEAK = 64.0  # 36 dB above full scale: of a song whose stems keep their levels in lossy formats


class Writer(ABC):
    """Writes one stem to `path`. As a context manager it closes the file, or deletes it after an error."""

    needs_gain = False  # fixed-point samples, which clip: see `common_gain`
    lossy = False

    def __init__(
        self, path: Path, *, sample_rate: int, channels: int, total_samples: int, tags: StemTags | None = None
    ) -> None:
        self.path, self.sample_rate, self.channels, self.tags = path, sample_rate, channels, tags
        self.total_samples = total_samples
        self.written_samples = 0
        self.peak = 0.0
        self.closed = False

    def write(self, block: Block) -> None:
        """block: [channels, n] float32. Raises ScratchFull; ValueError for a wrong shape or more than
        `total_samples`."""
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"a block of shape {block.shape}; expected [{self.channels}, n]")
        if self.written_samples + block.shape[1] > self.total_samples:
            raise ValueError(f"more than the {self.total_samples} samples declared")
        if not block.shape[1]:
            return
        self.written_samples += block.shape[1]
        self.peak = max(self.peak, float(np.abs(block).max()))
        with full_disk_as_scratch_full(self.path):
            self._write(np.ascontiguousarray(block, np.float32))

    def close(self, gain: float = 1.0) -> None:
        """Finishes the file. `gain` is for formats that need one (see `common_gain`). Idempotent."""
        if self.closed:
            return
        if gain != 1.0 and not self.needs_gain:
            raise ValueError(f"gain {gain}; this format keeps levels as they are")
        if self.written_samples != self.total_samples:
            raise ValueError(f"{self.written_samples} samples written; {self.total_samples} were declared")
        with full_disk_as_scratch_full(self.path):
            self._finish(gain)
        self.closed = True

    def abort(self) -> None:
        """Deletes the file and its spool. Never raises for a full disk; does nothing after `close`."""
        if self.closed:
            return
        self.closed = True
        self._drop()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise

    @abstractmethod
    def _write(self, block: Block) -> None: ...

    @abstractmethod
    def _finish(self, gain: float, /) -> None: ...

    @abstractmethod
    def _drop(self) -> None: ...


def lossy_gain(peak: float) -> float:
    """The gain for all stems of a song with this peak in a lossy format; 1.0 unless it is far beyond full scale.

    LAME ends the process, and FFmpeg's AAC encoder does not end, for levels that integers have which were written as
    floats. Such songs become normal ones.
    """
    return 1.0 if peak <= HIGHEST_PEAK else 1.0 / peak


def common_gain(writers: Iterable[Writer]) -> float:
    """The gain that keeps every stem of a song within fixed-point full scale; 1.0 if none clips.

    All stems share it, so that they still add up to the song.
    """
    peak = max((writer.peak for writer in writers if writer.needs_gain), default=0.0)
    return 1.0 if peak <= 1.0 else 1.0 / peak
