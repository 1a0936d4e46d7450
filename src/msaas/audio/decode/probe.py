"""Identifies a file by its header and first decoded frame. Rejects files that are not audio or are too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from av.audio.frame import AudioFrame

from msaas.audio.decode.container import OpenSong, frames, nothing_decodes, open_song
from msaas.audio.limits import Limits
from msaas.audio.source.account import GUESSED_DURATIONS, declared_seconds
from msaas.audio.source.findings import Findings
from msaas.audio.source.metadata import tags_of
from msaas.errors import AudioTooLong

MAX_SKIPPED_PACKETS = 5_000  # two minutes of undecodable MP3; more than that before the first frame is not a song


@dataclass(frozen=True)
class Probe:
    """Container and duration from the header, rate and channels from the first frame. None: the header has no duration.

    `cpu_seconds`: processor time that the probe took; 0 if not measured. `tags`: those of song_names.TAG_NAMES that the
    file has, cleaned.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_seconds: float | None
    cpu_seconds: float = field(default=0.0, compare=False)
    tags: Mapping[str, str] = field(default_factory=dict)


def probe(path: Path, limits: Limits) -> Probe:
    """Raises NotAudio; AudioTooLong if a credible header says so; OSError if the file cannot be read."""
    with open_song(path) as song:
        frame = _first_frame(song)
        part = song.part
        duration = declared_seconds(part) if song.is_whole else None  # a chain's header covers its first link only
        if duration is not None and duration > limits.max_duration_seconds and _is_plausible(song, duration, path):
            raise AudioTooLong(f"{duration:.0f} seconds; the limit is {limits.max_duration_seconds:g}")
        return Probe(
            container=part.container.format.name,
            codec=part.stream.codec_context.codec.canonical_name,
            sample_rate=frame.sample_rate,
            channels=frame.layout.nb_channels,
            duration_seconds=duration,
            tags=tags_of(part, path),
        )


def _first_frame(song: OpenSong) -> AudioFrame:
    for frame in frames(song, _PacketLimit(song)):
        return frame
    raise nothing_decodes(song)


class _PacketLimit(Findings):
    """Stops after too many packets that do not decode."""

    def __init__(self, song: OpenSong) -> None:
        super().__init__()
        self._song = song

    def skip(self, seconds: float = 0.0) -> None:
        super().skip(seconds)
        if self.skipped_packets >= MAX_SKIPPED_PACKETS:
            raise nothing_decodes(self._song)


def _is_plausible(song: OpenSong, seconds: float, path: Path) -> bool:
    """Whether a header's duration is a reason to reject the song: recorders that were cut off leave 0xFFFFFFFF
    there."""
    if not GUESSED_DURATIONS.isdisjoint(song.part.container.format.name.split(",")):
        return False
    codec = song.part.stream.codec_context
    if not codec.name.startswith("pcm_"):
        return True
    bytes_per_second = codec.sample_rate * codec.channels * codec.format.bytes
    # Half, because 24-bit samples decode to 32 bits, and a-law and µ-law to twice their size.
    return path.stat().st_size >= seconds * bytes_per_second / 2
