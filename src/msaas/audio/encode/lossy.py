"""AAC stems in MP4 (m4a) and Opus stems in Ogg. Levels are unchanged: both encoders take floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from msaas.audio.encode.ffmpeg_output import FFmpegOutput
from msaas.audio.encode.tagging.atoms import add_cover
from msaas.audio.encode.tagging.picture import as_comment
from msaas.audio.encode.writer import Block, Writer
from msaas.audio.tags import StemTags
from msaas.formats import AAC_RATES, OPUS_RATE


class _FFmpegWriter(Writer):
    """Encodes with PyAV; a subclass says how."""

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int,
        channels: int,
        total_samples: int,
        bitrate_kbps: int,
        tags: StemTags | None = None,
    ) -> None:
        super().__init__(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples, tags=tags)

        def constant_rate(stream: AudioStream) -> None:
            stream.bit_rate = bitrate_kbps * 1000

        self._out = FFmpegOutput(
            path, sample_rate=sample_rate, channels=channels, configure=constant_rate, **self._how(sample_rate, tags)
        )

    @staticmethod
    def _how(sample_rate: int, tags: StemTags | None) -> dict[str, Any]:
        raise NotImplementedError

    def _write(self, block: Block) -> None:
        self._out.write(self._arranged(block), block.shape[1])

    @staticmethod
    def _arranged(block: Block) -> NDArray[np.float32]:
        """[channels, n] as PyAV expects the sample format."""
        return block

    def _finish(self, _gain: float, /) -> None:
        self._out.close()

    def _drop(self) -> None:
        self._out.drop()


class M4aWriter(_FFmpegWriter):
    """The edit list says where the song starts in the first frame, and how long it is, to the sample. FFmpeg applies
    the start alone: programs based on it decode up to 1023 more samples, after the end."""

    @staticmethod
    def _how(sample_rate: int, tags: StemTags | None) -> dict[str, Any]:
        assert sample_rate in AAC_RATES  # noqa: S101 – open_writer has refused others
        return {
            "container": "ipod",
            "container_options": {"movie_timescale": str(sample_rate)},  # of the edit list's length
            "codec": "aac",
            "codec_options": {},
            "sample_format": "fltp",
            "metadata": tags.texts if tags else {},
        }

    def _finish(self, _gain: float, /) -> None:
        super()._finish(_gain)
        if self.tags and self.tags.cover:
            add_cover(self.path, self.tags.cover)


class OpusWriter(_FFmpegWriter):
    """Ogg states the exact length (RFC 7845, section 4)."""

    @staticmethod
    def _how(sample_rate: int, tags: StemTags | None) -> dict[str, Any]:
        assert sample_rate == OPUS_RATE  # noqa: S101 – open_writer has refused others
        texts = dict(tags.texts) if tags else {}
        if tags and tags.cover:
            texts["METADATA_BLOCK_PICTURE"] = as_comment(tags.cover)
        return {
            "container": "ogg",
            "container_options": {},
            "codec": "libopus",
            "codec_options": {},
            "sample_format": "flt",
            "metadata": texts,
        }

    @staticmethod
    def _arranged(block: Block) -> NDArray[np.float32]:
        return np.ascontiguousarray(block.T).reshape(1, -1)
