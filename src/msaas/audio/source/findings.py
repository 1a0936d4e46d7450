"""The findings of reading a song: how much did not decode, is missing, or was left out. Plain numbers; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from av.audio.frame import AudioFrame

JITTER_SECONDS = 0.05  # Vorbis timestamps in Ogg vary by 10 ms, Matroska's by 1 ms
BACKWARD_SECONDS = 1.0  # timestamps that jump back by more start a new recording, joined on


@dataclass
class Findings:
    """Filled while a song is read. Seconds and bytes are for the whole song, at its own rate."""

    skipped_packets: int = 0  # packets and reads that did not decode
    skipped_seconds: float = 0.0  # their duration, as far as the file declares it
    leading_seconds: float = 0.0  # between the start of the file and its first sound
    holes: int = 0  # positions where the next sound starts after the last one ended
    hole_seconds: float = 0.0
    missing_seconds: float = 0.0  # less than the header declares, beyond what is counted above
    truncated: bool = False  # the file ends within a packet, or without its end mark
    ignored_bytes: int = 0  # around and between packets, where only sound should be
    ignored_seconds: float = 0.0  # their duration at the song's bit rate
    unread_bytes: int = 0  # after the position where reading failed, or where another file starts

    def skip(self, seconds: float = 0.0) -> None:
        self.skipped_packets += 1
        self.skipped_seconds += seconds


class Timeline:
    """Finds holes by comparing the timestamps of frames with their durations."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._played = 0.0  # seconds of decoded and skipped frames
        self._late: float | None = None  # the next frame's timestamp minus the seconds played
        self.seconds = 0.0  # of decoded frames

    def frame(self, frame: AudioFrame) -> None:
        if frame.pts is not None and frame.time_base:
            self._at(float(frame.pts * frame.time_base))
        seconds = frame.samples / frame.sample_rate
        self._played += seconds
        self.seconds += seconds

    def skip(self, seconds: float) -> None:
        self._played += seconds

    def _at(self, time: float) -> None:
        late = time - self._played
        if self._late is None or late < self._late - BACKWARD_SECONDS:
            self._late = late
        elif late > self._late + JITTER_SECONDS:
            self._findings.holes += 1
            self._findings.hole_seconds += late - self._late
            self._late = late
