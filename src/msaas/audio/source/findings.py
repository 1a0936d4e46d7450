"""What reading a song met: how much of it did not decode, is missing, or was left out. Plain numbers; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from av.audio.frame import AudioFrame

JITTER_SECONDS = 0.05  # Vorbis' times in Ogg stray by 10 ms, Matroska's by 1 ms
BACKWARD_SECONDS = 1.0  # times that go back by more begin anew: another recording was joined on


@dataclass
class Findings:
    """Filled while a song is read. Seconds and bytes are of the whole song, at its own rate."""

    skipped_packets: int = 0  # packets and reads that did not decode
    skipped_seconds: float = 0.0  # what they would have lasted, as far as the file says
    leading_seconds: float = 0.0  # the sound begins that long after the file does
    holes: int = 0  # places where the next sound comes later than the last one ended
    hole_seconds: float = 0.0
    missing_seconds: float = 0.0  # fewer than the header promises, beyond what is counted above
    truncated: bool = False  # the file ends within a packet, or without the mark that ends it
    ignored_bytes: int = 0  # around and between the packets, where there should be sound alone
    ignored_seconds: float = 0.0  # what they would have lasted at the song's bit rate
    unread_bytes: int = 0  # behind the place where reading had to be given up, or where another file begins

    def skip(self, seconds: float = 0.0) -> None:
        self.skipped_packets += 1
        self.skipped_seconds += seconds


class Timeline:
    """Finds holes: compares the times that a container gives its frames with how long they last."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._played = 0.0  # seconds, of frames and of what was skipped
        self._late: float | None = None  # the time of the next frame, less what was played
        self.seconds = 0.0  # of frames alone

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
