"""How long a song is, as far as its file says: what its account is charged until it ends. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from msaas.options import Options, part_seconds

ESTIMATED_BYTES_PER_SECOND = 16_000  # 128 kb/s
# Lowest number of bytes per second of a codec, from its lowest bit rate: 8 kb/s (of AC-3 at halved rates). Other codecs
# can take next to nothing: silence in AAC, Opus, Vorbis or FLAC does.
MIN_BYTES_PER_SECOND = {"mp1": 1000, "mp2": 1000, "mp3": 1000, "ac3": 1000}


@dataclass(frozen=True)
class AudioLength:
    """A song's length as its file declares it, and the most that its bytes can hold.

    Files can be wrong, so the most is charged until the song has ended, or all that is left of the day if that is less.
    Only the declared length must fit: otherwise a limit of an hour would reject honest songs of four minutes.
    """

    declared_seconds: int
    max_seconds: int

    @classmethod
    def of(cls, about: Mapping[str, Any], longest_seconds: float, options: Options | None = None) -> AudioLength:
        """`about`: the probe's result; `longest_seconds`: the limit of decoding. A song that takes five times the usual
        work is charged as five songs, a part of a song as that part."""
        seconds: tuple[float, ...] = declared_seconds(about, longest_seconds), max_seconds(about, longest_seconds)
        if options:
            seconds = tuple(part_seconds(one, options.start, options.end) * max(options.work, 1.0) for one in seconds)
        return cls(*map(ceil, seconds))


def declared_seconds(about: Mapping[str, Any], longest_seconds: float) -> int:
    """The declared duration, or an estimate from the size if it is missing or implausible.

    A recorder that was cut off leaves an invalid length.
    """
    declared: float | None = about["duration_seconds"]
    if declared and declared <= longest_seconds:
        return ceil(declared)
    bytes_a_second = _pcm_bytes_per_second(about) or ESTIMATED_BYTES_PER_SECOND
    return ceil(min(float(about["bytes"]) / bytes_a_second, longest_seconds))


def max_seconds(about: Mapping[str, Any], longest_seconds: float) -> int:
    """All bytes at the codec's lowest rate, at most the limit of decoding."""
    fewest = _pcm_bytes_per_second(about) or MIN_BYTES_PER_SECOND.get(about["codec"])
    return ceil(min(float(about["bytes"]) / fewest, longest_seconds) if fewest else longest_seconds)


def _pcm_bytes_per_second(about: Mapping[str, Any]) -> float | None:
    """None unless it is PCM. The codec's name has its bits: pcm_s16le, pcm_f32be; 8 if it has none."""
    codec, rate, channels = str(about["codec"]), int(about["sample_rate"]), int(about["channels"])
    if not codec.startswith("pcm_"):
        return None
    bits = re.search(r"\d+", codec)
    return max(rate * channels * (int(bits[0]) if bits else 8) / 8, 1)
