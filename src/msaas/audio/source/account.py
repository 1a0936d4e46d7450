"""Compares how much of a part decoded with what its container declares. Decodes nothing."""

from __future__ import annotations

import re
from enum import Enum, auto
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from msaas.audio.source.findings import Findings, Timeline
from msaas.audio.source.opening import OpenStream
from msaas.audio.source.signatures import find_start
from msaas.audio.source.tags import trailing_bytes

UNITS_PER_SECOND = av.time_base  # of a container's duration

# FFmpeg guesses their durations from the first bit rate, many times too long for a quiet VBR opening.
GUESSED_DURATIONS = frozenset(
    ("mp3", "aac", "ac3", "eac3", "dts", "dtshd", "loas", "mlp", "truehd", "amr", "mpeg", "mpegts")
)
# Contiguous frames and nothing else: a byte outside them should have been sound.
_CONTIGUOUS_FRAMES = frozenset(("mp3", "aac", "ac3", "eac3", "dts", "mlp", "truehd"))
# Their timestamps start at zero for the recording; elsewhere the earliest timestamp of all streams is the start.
_TIMES_FROM_ZERO = frozenset(("mov", "matroska", "nut"))

# One frame of encoder padding more or less is not missing sound; the longest is HE-AAC's, 5,186 samples.
SHORT_SECONDS = 0.25
# Recorders and pipes write 0, 0x7FFFFFFF or 0xFFFFFFFF, or nearly, for an unknown RIFF length.
_UNKNOWN_LENGTH = 0x7FFF0000
_XING = re.compile(rb"(?:Xing|Info)\x00\x00\x00[\x01\x03\x05\x07\x09\x0b\x0d\x0f]|VBRI")
_XING_WITHIN_BYTES = 2_048
_TAIL_BYTES = 32 << 20  # how far after the sound to look for another file


def declared_seconds(part: OpenStream) -> float | None:
    """From the header, or FFmpeg's guess for formats without one (GUESSED_DURATIONS)."""
    stream, container = part.stream, part.container
    if stream.duration and stream.time_base and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return float(Fraction(container.duration, UNITS_PER_SECOND))
    return None


class End(Enum):
    """Why reading a part ended."""

    REACHED = auto()
    UNMARKED = auto()  # an Ogg whose last page is not marked as last
    GIVEN_UP = auto()  # because of errors
    RESUMED = auto()  # because of errors; the rest is read as a part of its own


class PacketAccount:
    """Records every packet, its result and the part's end; adds to the findings."""

    def __init__(self, part: OpenStream, findings: Findings, *, first: bool, missing_seconds: float = 0.0) -> None:
        """owed: seconds that the previous part declared but did not contain; this part continues it."""
        self._part, self._findings = part, findings
        self._timeline = Timeline(findings)
        self.end = 0  # of the last packet, in bytes from the start of the part
        self._sound_bytes = self._skipped_bytes = self._read_errors = 0
        self._cut = False
        self._declared = missing_seconds or _declared_seconds(part)
        self._before = (findings.skipped_seconds, findings.hole_seconds)
        if first:
            findings.leading_seconds = max(0.0, _start_seconds(part))
        if part.format not in _CONTIGUOUS_FRAMES:  # there it counts as unused bytes
            findings.ignored_bytes += part.garbage_bytes

    def packet(self, packet: Packet[AudioStream]) -> None:
        self._findings.skipped_packets += self._read_errors
        self._read_errors = 0
        self._cut = packet.is_corrupt
        self._sound_bytes += packet.size
        if packet.pos is not None:
            self.end = max(self.end, packet.pos + packet.size)

    def frame(self, frame: AudioFrame) -> None:
        self._timeline.frame(frame)

    def skipped(self, packet: Packet[AudioStream] | None) -> None:
        """Records a packet that did not decode; None: the decoder's last frames."""
        seconds = 0.0
        if packet is not None and self._part.format in _CONTIGUOUS_FRAMES:
            self._sound_bytes -= packet.size  # its length is more exact than its duration: it may hold many frames
            self._skipped_bytes += packet.size
        elif packet is not None and packet.duration and packet.time_base:
            seconds = float(packet.duration * packet.time_base)
        self._timeline.skip(seconds)
        self._findings.skip(seconds)

    def read_error(self) -> None:
        """Records a demuxer error. It counts if reading goes on; otherwise the missing seconds count."""
        self._read_errors = 1

    def close(self, end: End) -> None:
        self._findings.truncated |= end is End.UNMARKED or self._is_cut()
        if self._part.format in _CONTIGUOUS_FRAMES:
            self._count_bytes()
        elif end is End.GIVEN_UP:
            window = self._part.window
            self._findings.unread_bytes += max(0, window.size - self.end - trailing_bytes(window))
        elif end is End.REACHED and self._part.format != "ogg":
            self._check_tail()
        if end is not End.RESUMED and (missing := self.missing_seconds()):
            self._findings.missing_seconds += missing

    def missing_seconds(self) -> float:
        """Seconds declared but missing, beyond those counted as skipped or as holes."""
        if self._declared is None:
            return 0.0
        findings, before = self._findings, self._before
        counted = findings.skipped_seconds - before[0] + findings.hole_seconds - before[1]
        missing = self._declared - self._timeline.seconds - counted
        return missing if missing > SHORT_SECONDS else 0.0

    def _is_cut(self) -> bool:
        """Whether the last packet is incomplete, or the file shorter than its header declares (unknown lengths
        aside)."""
        part = self._part
        head = part.window.bytes_at(0, 8)
        if part.format not in ("wav", "avi") or len(head) < 8 or head[:4] != b"RIFF":
            return self._cut
        size = int.from_bytes(head[4:], "little")
        if not size or size & _UNKNOWN_LENGTH == _UNKNOWN_LENGTH:
            return False
        return self._cut or (part.format == "avi" and size + 8 > part.window.size)

    def _count_bytes(self) -> None:
        part, findings = self._part, self._findings
        rate = self._timeline.seconds / self._sound_bytes if self._sound_bytes else 0.0
        findings.skipped_seconds += self._skipped_bytes * rate
        used = self._sound_bytes + self._skipped_bytes + trailing_bytes(part.window)
        ignored = max(0, part.window.size - used) + part.garbage_bytes
        findings.ignored_bytes += ignored
        findings.ignored_seconds += ignored * rate

    def _check_tail(self) -> None:
        window = self._part.window
        found = find_start(window, self.end, _TAIL_BYTES) if self.end else None
        if found is not None:
            self._findings.unread_bytes += window.size - found


def _start_seconds(part: OpenStream) -> float:
    """Seconds from the start of the recording to its first sound."""
    stream, container = part.stream, part.container
    if stream.start_time is None or not stream.time_base:
        return 0.0
    begins = float(stream.start_time * stream.time_base)
    alone = len(container.streams) == 1
    if (alone and part.format in _TIMES_FROM_ZERO) or container.start_time is None:
        return begins if part.format in _TIMES_FROM_ZERO else 0.0
    return begins - container.start_time / UNITS_PER_SECOND


def _declared_seconds(part: OpenStream) -> float | None:
    """The declared duration, if it is the audio stream's own and not a guess."""
    if part.format in GUESSED_DURATIONS:
        head = part.window.bytes_at(0, _XING_WITHIN_BYTES) if part.format == "mp3" else b""
        return declared_seconds(part) if _XING.search(head) else None
    if part.stream.duration or len(part.container.streams) == 1:
        return declared_seconds(part)
    return None
