"""WAV stems: 32-bit float with unchanged levels, or 16 or 24 bits; RF64 past 4 GB. The header is written first."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas.audio.encode.spooled import SpooledWriter
from msaas.audio.encode.tagging.riff import tag_chunks
from msaas.audio.encode.writer import Block, Writer
from msaas.audio.tags import StemTags

RIFF_LIMIT_BYTES = (1 << 32) - 1  # RIFF sizes have 32 bits; larger files are RF64 (EBU Tech 3306)
_FLOAT_BYTES = 4
_PCM, _IEEE_FLOAT = 1, 3


def wav_header(
    sample_rate: int,
    channels: int,
    total_samples: int,
    riff_limit_bytes: int = RIFF_LIMIT_BYTES,
    *,
    bits: int | None = None,
    trailing_bytes: int = 0,
) -> bytes:
    """All bytes before the samples. `riff_limit_bytes`: size above which the file is RF64. `bits`: of fixed-point
    samples; None: 32-bit float. `trailing_bytes`: of what follows the samples."""
    frame_bytes = channels * (bits // 8 if bits else _FLOAT_BYTES)
    data_bytes = total_samples * frame_bytes
    fields = (channels, sample_rate, sample_rate * frame_bytes, frame_bytes, frame_bytes // channels * 8)
    if bits:
        fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, *fields)
    else:
        fmt = struct.pack("<4sIHHIIHHH", b"fmt ", 18, _IEEE_FLOAT, *fields, 0)
    fact_bytes = 12
    riff_bytes = 4 + len(fmt) + fact_bytes + 8 + data_bytes + trailing_bytes
    if riff_bytes + 8 <= riff_limit_bytes:
        fact = struct.pack("<4sII", b"fact", 4, total_samples)
        return struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + fmt + fact + _data(data_bytes)
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes + 36, data_bytes, total_samples, 0)
    fact = struct.pack("<4sII", b"fact", 4, 0xFFFFFFFF)
    return struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + ds64 + fmt + fact + _data(0xFFFFFFFF)


def _data(size: int) -> bytes:
    return struct.pack("<4sI", b"data", size)


def _trailer(data_bytes: int, tags: StemTags | None) -> bytes:
    """What follows the samples: chunks start at even offsets."""
    return bytes(data_bytes % 2) + (tag_chunks(tags) if tags else b"")


class WavWriter(Writer):
    """32-bit float."""

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int,
        channels: int,
        total_samples: int,
        riff_limit_bytes: int = RIFF_LIMIT_BYTES,
        tags: StemTags | None = None,
    ) -> None:
        super().__init__(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples, tags=tags)
        self._file = path.open("wb")
        self._after = _trailer(0, tags)
        self._header = wav_header(
            sample_rate, channels, total_samples, riff_limit_bytes, trailing_bytes=len(self._after)
        )

    def _write(self, block: Block) -> None:
        self._begin()
        self._file.write(block.T.astype("<f4").tobytes())

    def _begin(self) -> None:
        self._file.write(self._header)
        self._header = b""

    def _finish(self, _gain: float, /) -> None:
        self._begin()
        self._file.write(self._after)
        self._file.close()

    def _drop(self) -> None:
        # Closing flushes buffered bytes, which a full disk refuses; the file is deleted anyway.
        try:
            self._file.close()
        except OSError:
            return


class FixedWavWriter(SpooledWriter):
    """16 or 24 bits, with one gain for all stems if any would clip."""

    def _encode(self, gain: float) -> None:
        after = _trailer(self.total_samples * self.channels * self.bits // 8, self.tags)
        with self.path.open("wb") as file:
            sizes = (self.sample_rate, self.channels, self.total_samples)
            file.write(wav_header(*sizes, bits=self.bits, trailing_bytes=len(after)))
            for steps in self._steps(gain):
                file.write(_little_endian(steps, self.bits))
            file.write(after)


def _little_endian(steps: NDArray[np.int32], bits: int) -> bytes:
    """The low bytes of each sample."""
    return steps.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
