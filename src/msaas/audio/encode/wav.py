"""WAV stems: 32-bit float, unchanged levels, RF64 past 4 GB. The header is written first, with the known length."""

from __future__ import annotations

import struct
from pathlib import Path

from msaas.audio.encode.tagging.riff import tag_chunks
from msaas.audio.encode.writer import Block, Writer
from msaas.audio.tags import StemTags

RIFF_LIMIT_BYTES = (1 << 32) - 1  # RIFF sizes have 32 bits; larger files are RF64 (EBU Tech 3306)
_SAMPLE_BYTES = 4
_IEEE_FLOAT = 3


def wav_header(
    sample_rate: int,
    channels: int,
    total_samples: int,
    riff_limit_bytes: int = RIFF_LIMIT_BYTES,
    *,
    trailing_bytes: int = 0,
) -> bytes:
    """All bytes before the samples. `riff_limit_bytes`: size above which the file is RF64. `trailing_bytes`: of the
    chunks after the samples."""
    frame_bytes = channels * _SAMPLE_BYTES
    data_bytes = total_samples * frame_bytes
    fields = (
        _IEEE_FLOAT,
        channels,
        sample_rate,
        sample_rate * frame_bytes,
        frame_bytes,
        8 * _SAMPLE_BYTES,
        0,
    )
    fmt = struct.pack("<4sIHHIIHHH", b"fmt ", 18, *fields)
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


class WavWriter(Writer):
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
        self._trailer = tag_chunks(tags) if tags else b""
        self._header = wav_header(
            sample_rate, channels, total_samples, riff_limit_bytes, trailing_bytes=len(self._trailer)
        )

    def _write(self, block: Block) -> None:
        self._begin()
        self._file.write(block.T.astype("<f4").tobytes())

    def _begin(self) -> None:
        self._file.write(self._header)
        self._header = b""

    def _finish(self, _gain: float, /) -> None:
        self._begin()
        self._file.write(self._trailer)
        self._file.close()

    def _drop(self) -> None:
        # Closing flushes buffered bytes, which a full disk refuses; the file is deleted anyway.
        try:
            self._file.close()
        except OSError:
            return
