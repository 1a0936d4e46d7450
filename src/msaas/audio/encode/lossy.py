"""AAC stems in MP4 (m4a) and Opus stems in Ogg, with unchanged levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from msaas.audio.encode.ffmpeg_output import FFmpegWriter
from msaas.audio.encode.tagging.atoms import add_cover
from msaas.audio.encode.tagging.picture import as_comment
from msaas.audio.encode.writer import Block
from msaas.formats import AAC_RATES, OPUS_RATE


class M4aWriter(FFmpegWriter):
    """The edit list says where the song starts in the first frame, and how long it is, to the sample. FFmpeg applies
    the start alone: programs based on it decode up to 1023 more samples, after the end."""

    def _format(self) -> dict[str, Any]:
        assert self.sample_rate in AAC_RATES  # noqa: S101 – open_writer has refused others
        return {
            "container": "ipod",
            "container_options": {"movie_timescale": str(self.sample_rate)},  # of the edit list's length
            "codec": "aac",
            "codec_options": {},
            "sample_format": "fltp",
            "metadata": self.tags.texts if self.tags else {},
        }

    def _finish(self, _gain: float, /) -> None:
        super()._finish(_gain)
        if self.tags and self.tags.cover:
            add_cover(self.path, self.tags.cover)


class OpusWriter(FFmpegWriter):
    """Ogg states the exact length (RFC 7845, section 4)."""

    def _format(self) -> dict[str, Any]:
        assert self.sample_rate == OPUS_RATE  # noqa: S101 – open_writer has refused others
        texts = dict(self.tags.texts) if self.tags else {}
        if self.tags and self.tags.cover:
            texts["METADATA_BLOCK_PICTURE"] = as_comment(self.tags.cover)
        return {
            "container": "ogg",
            "container_options": {},
            "codec": "libopus",
            "codec_options": {},
            "sample_format": "flt",
            "metadata": texts,
        }

    def _arranged(self, block: Block) -> NDArray[np.float32]:
        return np.ascontiguousarray(block.T).reshape(1, -1)
