"""Opens the writer of a format. Refuses formats, rates and bit rates that do not exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msaas.audio.encode.converted import ConvertedWriter, Sound
from msaas.audio.encode.disk_full import full_disk_as_scratch_full
from msaas.audio.encode.flac import FlacWriter
from msaas.audio.encode.lossy import M4aWriter, OpusWriter
from msaas.audio.encode.mp3 import Mp3Writer
from msaas.audio.encode.wav import FixedWavWriter, WavWriter
from msaas.audio.encode.writer import Writer
from msaas.audio.tags import StemTags
from msaas.formats import STEMS_FILE, Format, format_named

_WITH_BITRATES: dict[str, Callable[..., Writer]] = {
    "mp3": Mp3Writer,
    "m4a": M4aWriter,
    STEMS_FILE: M4aWriter,  # one of its streams; write_stems_file joins them
    "opus": OpusWriter,
}
_FIXED: dict[str, Callable[..., Writer]] = {"flac": FlacWriter, "wav": FixedWavWriter}


def open_writer(
    path: Path,
    format: str,
    *,
    sample_rate: int,
    channels: int,
    total_samples: int,
    bitrate_kbps: int | None = None,
    bit_depth: str | None = None,
    tags: StemTags | None = None,
    made: Sound | None = None,
) -> Writer:
    """A writer for one stem of exactly `total_samples`, in one or two channels.

    bitrate_kbps, bit_depth: the format's default if None; formats without one ignore it. made: what the samples are
    given as, if it differs; they are resampled and mixed down.

    Raises InvalidOption for an unknown format, or a rate or bit rate that the format has not; ScratchFull.
    """
    kind = format_named(format)
    if channels not in (1, 2):
        raise ValueError(f"{channels} channels; must be 1 or 2")
    if total_samples < 1:
        raise ValueError(f"{total_samples} samples; must be at least 1")
    kind.refuse_rate(sample_rate)
    saved = Sound(sample_rate, channels, total_samples)
    sizes = {"sample_rate": sample_rate, "channels": channels, "total_samples": total_samples, "tags": tags}
    with full_disk_as_scratch_full(path):
        writer = _opened(path, kind, sizes, bitrate_kbps, bit_depth)
    return writer if made in (None, saved) else ConvertedWriter(writer, made or saved)


def _opened(path: Path, kind: Format, sizes: dict[str, Any], bitrate_kbps: int | None, bit_depth: str | None) -> Writer:
    if kind.bitrates:
        bitrate_kbps = bitrate_kbps or kind.default_bitrate
        kind.refuse_bitrate(sizes["sample_rate"], bitrate_kbps)
        return _WITH_BITRATES[kind.name](path, bitrate_kbps=bitrate_kbps, **sizes)
    if kind.needs_gain(bit_depth):
        return _FIXED[kind.name](path, bits=int(kind.depth(bit_depth) or 0), **sizes)
    return WavWriter(path, **sizes)
