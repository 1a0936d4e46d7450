"""Opens one range of a file with FFmpeg, by its content only; rejects playlists, images and raw samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from msaas.audio.source.signatures import find_start
from msaas.audio.source.tags import ID3V1_BYTES, ID3V2_HEADER_BYTES, leading_bytes, trailing_bytes
from msaas.audio.source.window import Window
from msaas.errors import NotAudio

# Demuxers that read one self-contained file. Playlists (hls, concat, dash), devices, image sequences and raw PCM (which
# matches any bytes) are left out; `mov` follows no external references by default.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,ast,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iamf,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mxf,nut,ogg,oma,osq,qoa,rm,shn,sox,swf,tak,truehd,tta,voc,w64,wav,wavarc,webm,wsd,wtv,wv,xwma"
)

PROBE_BYTES = 5_000_000  # FFmpeg's default, set explicitly because it bounds the cost of a hostile header
ANALYSE_MICROSECONDS = 5_000_000
READ_BUFFER_BYTES = 1 << 18
MAX_GARBAGE_BYTES = 1 << 20  # before a song, beyond its tags
MAX_STARTS = 4  # candidate starts of a song within garbage


@dataclass(frozen=True)
class OpenStream:
    """A song, or a link of a chain, ready to decode. `window` starts where the container does."""

    window: Window
    container: InputContainer
    stream: AudioStream
    garbage_bytes: int = 0  # before the container, without tags and padding

    @property
    def format(self) -> str:
        """The demuxer's first name: mp3, mov, matroska, …"""
        return self.container.format.name.split(",")[0]

    def close(self) -> None:
        self.container.close()


def open_part(song: Window) -> OpenStream:
    """Opens the best audio stream in the window. Raises NotAudio; OSError if the file cannot be read."""
    tags = leading_bytes(song)
    for demuxer, start in _attempts(song, tags):
        window = song.after(start)
        try:
            container, window = _without_trailing_tags(open_as(demuxer, window), window)
        except (av.FFmpegError, EOFError) as error:
            refusal = error
            continue
        try:
            return OpenStream(window, container, best_audio(container), max(0, start - tags))
        except NotAudio:
            container.close()
            raise
    raise NotAudio("the file is not in any audio format that can be read") from refusal


def _without_trailing_tags(container: InputContainer, window: Window) -> tuple[InputContainer, Window]:
    """Excludes trailing tags. With more than an ID3v1 tag at its end, an MP3 looks longer to FFmpeg than its Info tag
    says, and FFmpeg does not remove the encoder's padding."""
    if container.format.name != "mp3" or (tail_bytes := trailing_bytes(window)) <= ID3V1_BYTES:
        return container, window
    container.close()
    window = window.between(0, window.size - tail_bytes)
    return open_as("mp3", window), window


def _attempts(song: Window, tags: int) -> Iterator[tuple[str | None, int]]:
    """Demuxers (None: FFmpeg's probing) and the bytes to skip, likeliest first.

    FFmpeg's probing skips one ID3v2 tag that fits into its probe buffer; most of its demuxers skip none.
    """
    yield None, tags
    if tags:
        yield None, 0  # a tag with a wrong size
    if demuxer := _by_first_bytes(song.bytes_at(tags, 2)):
        yield demuxer, tags
    start = tags
    for _ in range(MAX_STARTS):
        found = find_start(song, start, tags + MAX_GARBAGE_BYTES - start)
        if found is None:
            break
        yield None, found
        start = found + 1
    if song.bytes_at(0, 3) == b"ID3":
        yield "mp3", tags or ID3V2_HEADER_BYTES


def open_as(demuxer: str | None, window: Window) -> InputContainer:
    """`demuxer`: FFmpeg's name of one; None: by the content. Raises av.FFmpegError, EOFError."""
    options = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file",
        "probesize": str(PROBE_BYTES),
        "analyzeduration": str(ANALYSE_MICROSECONDS),
    }
    return av.open(
        window,
        mode="r",
        format=demuxer,
        container_options=options,
        buffer_size=READ_BUFFER_BYTES,
        metadata_errors="replace",
    )


def _by_first_bytes(head: bytes) -> str | None:
    """Recognises MPEG audio, which starts with eleven set bits, then version and layer (layer 0 is ADTS).

    A few frames of MP3 score so low in FFmpeg's probing that noise in them can pass for H.263 video.
    """
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    return "mp3" if head[1] & 0x06 else "aac"


def best_audio(container: InputContainer) -> AudioStream:
    """FFmpeg's choice if it can be decoded, else the first that can. Cover art is a video stream and never chosen."""
    best = container.streams.best("audio")
    for stream in (best, *container.streams.audio):
        if isinstance(stream, AudioStream) and stream.codec_context is not None:
            stream.codec_context.thread_count = 1  # audio decoders do not gain from more
            return stream
    if best is None:
        raise NotAudio("the file has no audio stream")
    raise NotAudio("the file's audio is in a codec that cannot be decoded")
