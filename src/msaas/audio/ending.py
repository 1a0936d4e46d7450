"""Where a song really ends: the encoder's padding that libavformat leaves on the last frames of MP4. No I/O.

The padding of MP3, Ogg and WebM is cut inside FFmpeg. In MP4 it cuts the delay ahead but not the padding behind:
the last packet's duration tells it (as FFmpeg's muxer writes it), or Apple's iTunSMPB tag.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

AudioPacket: TypeAlias = "Packet[AudioStream]"  # generic in the stubs alone

# Two frames of HE-AAC: more padding than any encoder leaves. A tag further than that from the header is a lie.
_MAX_PADDING_SAMPLES = 4096


class Ending:
    """Counts a song's samples, and tells for each frame how many of them belong to it."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._is_mp4 = "mp4" in container.format.name.split(",")
        self._total = self._tagged_total(container, stream) if self._is_mp4 else None
        self._seen = 0

    def kept(self, frame: AudioFrame, last_packet: AudioPacket | None) -> int:
        """`last_packet`: the packet the frame came from, if it is the file's last."""
        kept = frame.samples
        if self._is_mp4 and last_packet is not None:
            kept = min(kept, self._declared(last_packet, frame))
        if self._total is not None:
            kept = max(0, min(kept, self._total - self._seen))
        self._seen += frame.samples
        return kept

    @staticmethod
    def _declared(packet: AudioPacket, frame: AudioFrame) -> int:
        if not packet.duration or not packet.time_base:
            return frame.samples
        return round(packet.duration * packet.time_base * frame.sample_rate)

    @staticmethod
    def _tagged_total(container: InputContainer, stream: AudioStream) -> int | None:
        """The sample count in iTunSMPB: flags, delay, padding, samples, in hexadecimal."""
        fields = container.metadata.get("iTunSMPB", "").split()
        try:
            total = int(fields[3], 16)
        except (IndexError, ValueError):
            return None
        declared = Fraction(stream.duration or 0) * (stream.time_base or 0) * stream.codec_context.sample_rate
        return total if total > 0 and abs(declared - total) <= _MAX_PADDING_SAMPLES else None
