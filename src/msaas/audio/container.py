"""Opens a file as audio by its bytes alone; refuses playlists, images and everything that reaches for other files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from msaas.errors import NotAudio

AudioPacket: TypeAlias = "Packet[AudioStream]"  # generic in the stubs alone

# Demuxers that read one self-contained file. Playlists (hls, concat, dash), devices, image sequences and raw PCM
# (which any bytes would match) are left out; `mov` follows no external references unless told to.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,ast,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iamf,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mxf,nut,ogg,oma,osq,qoa,rm,shn,sox,swf,tak,truehd,tta,voc,w64,wav,wavarc,webm,wsd,wtv,wv,xwma"
)

PROBE_BYTES = 5_000_000  # FFmpeg's own default, said aloud because it bounds what a hostile header can cost
ANALYSE_MICROSECONDS = 5_000_000
READ_BUFFER_BYTES = 1 << 18
MAX_GARBAGE_BYTES = 1 << 20  # ahead of a song
_SIGNATURES = re.compile(rb"fLaC\x00\x00\x00\x22|OggS\x00\x02|RIFF.{4}WAVEfmt ", re.DOTALL)
MAX_READ_ERRORS = 32  # in a row; a demuxer that gives nothing after so many tries is at its end

# Below and above these no recording exists, and a rate of 1 Hz would turn a small file into gigabytes at 44.1 kHz.
MIN_RATE, MAX_RATE = 1_000, 3_000_000


@dataclass
class OpenSong:
    """`packets_read` counts while `frames` runs."""

    container: InputContainer
    stream: AudioStream
    packets_read: int = 0


class _Nameless:
    """A file without a name: every song is called <uuid>.mp3, and FFmpeg would trust that more than the bytes.

    `start_bytes` of garbage ahead are hidden.
    """

    def __init__(self, file: io.FileIO, start_bytes: int) -> None:
        self._file, self._start = file, start_bytes
        self.read = file.read
        self.seek(0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset + (self._start if whence == io.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


@contextmanager
def open_song(path: Path) -> Iterator[OpenSong]:
    """The file's best audio stream, ready to decode. Raises NotAudio; OSError where the file cannot be read."""
    with path.open("rb", buffering=0) as file:
        container = _open_container(file)
        try:
            yield OpenSong(container, _best_audio(container))
        finally:
            container.close()


def _open_container(file: io.FileIO) -> InputContainer:
    """By FFmpeg's probing; where that finds no song, by signatures of our own."""
    head = file.read(MAX_GARBAGE_BYTES)
    for demuxer, start_bytes in ((None, 0), _by_first_bytes(head), _by_signature(head)):
        try:
            return _open_as(demuxer, _Nameless(file, start_bytes))
        except (av.FFmpegError, EOFError) as error:
            refusal = error
    raise NotAudio("the file is not in any audio format that can be read") from refusal


def _open_as(demuxer: str | None, file: _Nameless) -> InputContainer:
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "probesize": str(PROBE_BYTES),
        "analyzeduration": str(ANALYSE_MICROSECONDS),
    }
    return av.open(
        file,
        mode="r",
        format=demuxer,
        container_options=options,
        buffer_size=READ_BUFFER_BYTES,
        metadata_errors="replace",
    )


def _by_first_bytes(head: bytes) -> tuple[str | None, int]:
    """A few frames of MP3 score so low in FFmpeg's probing that noise in them can pass for H.263 video.

    MPEG audio begins with eleven set bits, then version and layer; ADTS is the one with layer 0.
    """
    if head[:3] == b"ID3":
        return "mp3", 0
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None, 0
    return ("mp3" if head[1] & 0x06 else "aac"), 0


def _by_signature(head: bytes) -> tuple[str | None, int]:
    """FFmpeg looks past garbage for MP3 and ADTS alone; these have marks that do not come about by chance."""
    found = _SIGNATURES.search(head)
    return None, found.start() if found else 0


def _best_audio(container: InputContainer) -> AudioStream:
    """FFmpeg's choice where it can be decoded, else the first that can. Cover art is a video stream: never chosen."""
    best = container.streams.best("audio")
    for stream in (best, *container.streams.audio):
        if isinstance(stream, AudioStream) and stream.codec_context is not None:
            stream.codec_context.thread_count = 1  # audio decoders gain nothing from more
            return stream
    if best is None:
        raise NotAudio("the file has no audio stream")
    raise NotAudio("the file's audio is in a codec that cannot be decoded")


def frames(song: OpenSong, skipped: Callable[[], None]) -> Iterator[AudioFrame]:
    """Every frame that decodes, in order. `skipped` is called once for each packet or read that does not decode.

    FFmpeg cuts what an encoder put ahead and behind, as far as the container says so to it: both in MP3, Ogg and
    WebM, in MP4 what is ahead.
    """
    for packet in _packets(song, skipped):
        yield from _decode(song, packet, skipped)
    yield from _decode(song, None, skipped)  # what the decoder still holds


def nothing_decodes(song: OpenSong) -> NotAudio:
    if song.packets_read:
        return NotAudio(f"nothing in the file decodes to sound: {song.packets_read} packets tried")
    return NotAudio("the file has no samples")


def _packets(song: OpenSong, skipped: Callable[[], None]) -> Iterator[AudioPacket]:
    errors = 0
    while errors < MAX_READ_ERRORS:
        try:
            for packet in song.container.demux(song.stream):
                # An empty packet would tell the decoder that the song is over, wherever it stands.
                if packet.size:
                    errors = 0
                    song.packets_read += 1
                    yield packet
            return
        except av.FFmpegError:
            errors += 1
            skipped()


def _decode(song: OpenSong, packet: AudioPacket | None, skipped: Callable[[], None]) -> list[AudioFrame]:
    try:
        decoded = song.stream.codec_context.decode(packet)
    except (av.FFmpegError, EOFError):
        skipped()
        return []
    usable = [frame for frame in decoded if MIN_RATE <= frame.sample_rate <= MAX_RATE and frame.samples]
    if decoded and not usable:
        skipped()
    return usable
