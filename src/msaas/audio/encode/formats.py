"""The formats that stems come in, and the one way to open a writer. Refuses formats and bit rates that do not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from msaas.audio.encode.disk_full import full_disk_as_scratch_full
from msaas.audio.encode.flac import FlacWriter
from msaas.audio.encode.mp3 import BITRATES_KBPS, Mp3Writer, check_mp3
from msaas.audio.encode.wav import WavWriter
from msaas.audio.encode.writer import Writer, common_gain
from msaas.errors import InvalidOption

__all__ = ["BITRATES_KBPS", "FORMATS", "Format", "Writer", "check_mp3", "common_gain", "open_writer"]

StemWriter = Writer


@dataclass(frozen=True)
class Format:
    """`needs_gain`: fixed-point, so that all stems of a song share one gain, known only once all are written."""

    name: str
    extension: str
    content_type: str
    needs_gain: bool = False


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "mp3": Format("mp3", ".mp3", "audio/mpeg"),
        "flac": Format("flac", ".flac", "audio/flac", needs_gain=True),
        "wav": Format("wav", ".wav", "audio/wav"),
    }
)


def open_writer(
    path: Path,
    format: str,
    *,
    sample_rate: int,
    channels: int,
    total_samples: int,
    bitrate_kbps: int = 320,
) -> Writer:
    """A writer for one stem of exactly `total_samples`, in one or two channels.

    Raises InvalidOption for an unknown format, or a rate or bit rate that the format has not; ScratchFull.
    """
    if format not in FORMATS:
        raise InvalidOption(f"format {format!r}: there are {', '.join(FORMATS)}")
    if channels not in (1, 2):
        raise ValueError(f"{channels} channels; stems have one or two")
    if total_samples < 1:
        raise ValueError(f"{total_samples} samples; a stem has at least one")
    with full_disk_as_scratch_full(path):
        if format == "mp3":
            return Mp3Writer(
                path,
                sample_rate=sample_rate,
                channels=channels,
                total_samples=total_samples,
                bitrate_kbps=bitrate_kbps,
            )
        kind = FlacWriter if format == "flac" else WavWriter
        return kind(path, sample_rate=sample_rate, channels=channels, total_samples=total_samples)
