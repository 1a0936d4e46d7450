"""Stems of fixed-point samples: spooled as float32 until the gain that all stems of a song share is known."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas.audio.encode.writer import Block, Writer
from msaas.audio.tags import StemTags

_CHUNK_SAMPLES = 1 << 16


def to_fixed(samples: NDArray[np.float32], gain: float, bits: int) -> NDArray[np.int32]:
    """Rounds to whole steps; +1.0 becomes the largest step below it. No dither: stems still add up to the song within
    half a step each."""
    full_scale = 1 << (bits - 1)
    steps = np.rint(samples.astype(np.float64) * (gain * full_scale))
    return np.clip(steps, -full_scale, full_scale - 1).astype(np.int32)


class SpooledWriter(Writer):
    """Spools interleaved float32 next to `path` (21 MB a minute for stereo at 44.1 kHz); `close(gain)` encodes it."""

    needs_gain = True

    def __init__(
        self, path: Path, *, sample_rate: int, channels: int, total_samples: int, bits: int, tags: StemTags | None
    ) -> None:
        super().__init__(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples, tags=tags)
        self.bits = bits
        self.spool_path = path.with_name(path.name + ".f32")
        self._spool = self.spool_path.open("w+b")

    def _write(self, block: Block) -> None:
        self._spool.write(block.T.tobytes())

    def _finish(self, gain: float, /) -> None:
        self._encode(gain)
        self._drop()

    @abstractmethod
    def _encode(self, gain: float) -> None: ...

    def _steps(self, gain: float) -> Iterator[NDArray[np.int32]]:
        """The samples, interleaved, as whole steps."""
        self._spool.seek(0)
        while chunk := self._spool.read(_CHUNK_SAMPLES * self.channels * 4):
            yield to_fixed(np.frombuffer(chunk, np.float32), gain, self.bits)

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            self._spool.close()
        self.spool_path.unlink(missing_ok=True)
