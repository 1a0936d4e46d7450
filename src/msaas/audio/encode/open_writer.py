"""Opens the writer of a format. Refuses formats and bit rates that do not exist."""

from __future__ import annotations

from pathlib import Path

from msaas.audio.encode.disk_full import full_disk_as_scratch_full
from msaas.audio.encode.flac import FlacWriter
from msaas.audio.encode.mp3 import Mp3Writer
from msaas.audio.encode.wav import WavWriter
from msaas.audio.encode.writer import Writer
from msaas.audio.tags import StemTags
from msaas.formats import format_named


def open_writer(
    path: Path,
    format: str,
    *,
    sample_rate: int,
    channels: int,
    total_samples: int,
    bitrate_kbps: int | None = None,
    tags: StemTags | None = None,
) -> Writer:
    """A writer for one stem of exactly `total_samples`, in one or two channels.

    bitrate_kbps: the format's default if None; formats without a bit rate ignore it.

    Raises InvalidOption for an unknown format, or a rate or bit rate that the format has not; ScratchFull.
    """
    kind = format_named(format)
    if channels not in (1, 2):
        raise ValueError(f"{channels} channels; must be 1 or 2")
    if total_samples < 1:
        raise ValueError(f"{total_samples} samples; must be at least 1")
    with full_disk_as_scratch_full(path):
        if kind.bitrates:
            return Mp3Writer(
                path,
                sample_rate=sample_rate,
                channels=channels,
                total_samples=total_samples,
                bitrate_kbps=bitrate_kbps or kind.default_bitrate,
                tags=tags,
            )
        writer = FlacWriter if kind.needs_gain else WavWriter
        return writer(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples, tags=tags)
