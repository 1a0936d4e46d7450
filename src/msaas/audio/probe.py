"""What a file is, learnt from its header and its first decoded frame. Refuses what is none, or is too long."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame

from msaas.audio import isolate
from msaas.audio.container import OpenSong, frames, nothing_decodes, open_song
from msaas.audio.limits import Limits
from msaas.errors import AudioTooLong

MAX_SKIPPED_PACKETS = 5_000  # two minutes of undecodable MP3: more garbage than that ahead of a song is no song

# Their durations are FFmpeg's guess from the first bit rate met, many times too long for a quiet VBR opening.
_GUESSED_DURATIONS = frozenset(
    ("mp3", "aac", "ac3", "eac3", "dts", "dtshd", "loas", "mlp", "truehd", "amr", "mpeg", "mpegts")
)
_UNITS_PER_SECOND = av.time_base  # of a container's duration


@dataclass(frozen=True)
class Probe:
    """As the header declares, rate and channels as the first frame has them. None: the header does not say.

    `cpu_seconds`: processor time that looking took; 0 where nobody measured it.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_seconds: float | None
    cpu_seconds: float = field(default=0.0, compare=False)


def probe(path: Path, limits: Limits) -> Probe:
    """Raises NotAudio; AudioTooLong where a header worth believing says so; OSError where the file cannot be read."""
    with open_song(path) as song:
        frame = _first_frame(song)
        duration = _declared_seconds(song)
        if duration is not None and duration > limits.max_duration_seconds and _believable(song, duration, path):
            raise AudioTooLong(f"{duration:.0f} seconds; the limit is {limits.max_duration_seconds:g}")
        return Probe(
            container=song.container.format.name,
            codec=song.stream.codec_context.codec.canonical_name,
            sample_rate=frame.sample_rate,
            channels=frame.layout.nb_channels,
            duration_seconds=duration,
        )


def probe_isolated(path: Path, limits: Limits, timeout_seconds: float = 10, cpu_seconds: float = 10) -> Probe:
    """`probe` in a process of its own, bounded in time and memory: a file that breaks the decoder breaks nothing else.

    Raises as `probe` does, AudioError too where the process ran out of time or memory or the file broke it, Busy
    where it was killed from outside. An AudioError has the processor time it took as `cpu_seconds`. Thread-safe.
    """
    path.stat()  # a missing file is the caller's fault, not the song's
    return Probe(**isolate.ask(path, limits, timeout_seconds, cpu_seconds))


def _first_frame(song: OpenSong) -> AudioFrame:
    skipped = 0

    def count() -> None:
        nonlocal skipped
        skipped += 1
        if skipped >= MAX_SKIPPED_PACKETS:
            raise nothing_decodes(song)

    for frame in frames(song, count):
        return frame
    raise nothing_decodes(song)


def _declared_seconds(song: OpenSong) -> float | None:
    stream, container = song.stream, song.container
    if stream.duration and stream.time_base and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return float(Fraction(container.duration, _UNITS_PER_SECOND))
    return None


def _believable(song: OpenSong, seconds: float, path: Path) -> bool:
    """A header is no ground to refuse a song that is short: recorders leave 0xFFFFFFFF where they were cut off."""
    if not _GUESSED_DURATIONS.isdisjoint(song.container.format.name.split(",")):
        return False
    codec = song.stream.codec_context
    if not codec.name.startswith("pcm_"):
        return True
    bytes_per_second = codec.sample_rate * codec.channels * codec.format.bytes
    # Half: 24-bit samples are decoded to 32, a-law and µ-law to twice their size.
    return path.stat().st_size >= seconds * bytes_per_second / 2
