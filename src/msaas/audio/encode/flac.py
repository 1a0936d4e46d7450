"""FLAC stems: 24 bits, with one gain for all stems if any would clip. Spools float32 until that gain is known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msaas.audio.encode.ffmpeg_output import FFmpegOutput
from msaas.audio.encode.tagging.picture import picture_block, write_picture
from msaas.audio.encode.writer import Block, Writer
from msaas.audio.tags import StemTags
from msaas.errors import InvalidOption
from msaas.formats import FORMATS

FLAC = FORMATS["flac"]

MAX_SAMPLE_RATE = 655_350  # the 20 bits of STREAMINFO (RFC 9639) as FFmpeg reads them
_FULL_SCALE = 1 << 23
_CHUNK_SAMPLES = 1 << 16


def to_24_bit(samples: NDArray[np.float32], gain: float) -> NDArray[np.int32]:
    """Rounds to 24 bits in the high bytes of 32, as FFmpeg expects. +1.0 becomes the largest step below it."""
    steps = np.rint(samples.astype(np.float64) * (gain * _FULL_SCALE))
    return np.clip(steps, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int32) << 8


class FlacWriter(Writer):
    """Spools interleaved float32 next to `path` (21 MB a minute for stereo at 44.1 kHz); `close(gain)` encodes it."""

    needs_gain = FLAC.needs_gain

    def __init__(
        self, path: Path, *, sample_rate: int, channels: int, total_samples: int, tags: StemTags | None = None
    ) -> None:
        super().__init__(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples, tags=tags)
        if not 1 <= sample_rate <= MAX_SAMPLE_RATE:
            raise InvalidOption(f"FLAC cannot hold {sample_rate} Hz; the maximum is {MAX_SAMPLE_RATE}")
        self.spool_path = path.with_name(path.name + ".f32")
        self._spool = self.spool_path.open("w+b")

    def _write(self, block: Block) -> None:
        self._spool.write(block.T.tobytes())

    def _finish(self, gain: float, /) -> None:
        picture = picture_block(self.tags.cover) if self.tags and self.tags.cover else b""
        self._encode(gain, {"metadata_header_padding": str(len(picture))} if picture else {})
        if picture:
            write_picture(self.path, picture)
        self._drop()

    def _encode(self, gain: float, container_options: dict[str, str]) -> None:
        out = FFmpegOutput(
            self.path,
            container="flac",
            container_options=container_options,
            codec="flac",
            codec_options={"bits_per_raw_sample": str(FLAC.bits), "compression_level": "5"},
            sample_format="s32",
            sample_rate=self.sample_rate,
            channels=self.channels,
            metadata=self.tags.texts if self.tags else {},
        )
        try:
            for interleaved in self._chunks():
                out.write(to_24_bit(interleaved, gain)[np.newaxis], interleaved.size // self.channels)
            out.close()
        except BaseException:
            out.drop()
            raise

    def _chunks(self) -> Iterator[NDArray[np.float32]]:
        self._spool.seek(0)
        while chunk := self._spool.read(_CHUNK_SAMPLES * self.channels * 4):
            yield np.frombuffer(chunk, np.float32)

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            self._spool.close()
        self.spool_path.unlink(missing_ok=True)
