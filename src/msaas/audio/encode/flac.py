"""FLAC stems, of 16 or 24 bits, with one gain for all stems if any would clip."""

from __future__ import annotations

import numpy as np

from msaas.audio.encode.ffmpeg_output import FFmpegOutput
from msaas.audio.encode.spooled import SpooledWriter
from msaas.audio.encode.tagging.picture import picture_block, write_picture

_FORMATS = {16: ("s16", np.int16, 0), 24: ("s32", np.int32, 8)}  # FFmpeg's, and by how many bits it wants a sample up


class FlacWriter(SpooledWriter):
    def _encode(self, gain: float) -> None:
        picture = picture_block(self.tags.cover) if self.tags and self.tags.cover else b""
        self._encode_with_room(gain, {"metadata_header_padding": str(len(picture))} if picture else {})
        if picture:
            write_picture(self.path, picture)

    def _encode_with_room(self, gain: float, container_options: dict[str, str]) -> None:
        sample_format, kind, shift = _FORMATS[self.bits]
        out = FFmpegOutput(
            self.path,
            container="flac",
            container_options=container_options,
            codec="flac",
            codec_options={"bits_per_raw_sample": str(self.bits), "compression_level": "5"},
            sample_format=sample_format,
            sample_rate=self.sample_rate,
            channels=self.channels,
            metadata=self.tags.texts if self.tags else {},
        )
        try:
            for steps in self._steps(gain):
                out.write((steps << shift).astype(kind)[np.newaxis], steps.size // self.channels)
            out.close()
        except BaseException:
            out.drop()
            raise
