"""Reads the frames of a song, part by part. Packets that do not decode are skipped and counted."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from msaas.audio.source.account import End, PacketAccount
from msaas.audio.source.chains import links_of
from msaas.audio.source.findings import Findings
from msaas.audio.source.opening import OpenStream, open_part
from msaas.audio.source.window import Window
from msaas.errors import NotAudio

AudioPacket: TypeAlias = "Packet[AudioStream]"  # generic in the stubs alone

MAX_READ_ERRORS = 32  # in a row without reading a byte: the demuxer is stuck

# No real recording has a rate outside these; 1 Hz would turn a small file into gigabytes at 44.1 kHz.
MIN_RATE, MAX_RATE = 1_000, 3_000_000

# Marks at which reading can resume after a part that cannot be read.
_RESUME_AT = {"wv": b"wvpk"}
_STRIDE = 1 << 20


class OpenSong:
    """The parts of a file (the links of a chain, otherwise one), one of them open at a time."""

    def __init__(self, file: io.FileIO) -> None:
        """Raises NotAudio if no part can be opened."""
        self.packets_read = 0
        self.refused_bytes = 0  # in parts that cannot be opened
        self.is_whole = True  # the file is one part
        self.complete = True  # the part has its end mark; false for an Ogg link without a last page
        self.resumes = False  # the next part continues one that could not be read to its end
        self._waiting: deque[tuple[Window, bool]] = deque()
        self.part = open_part(Window(file, 0, os.fstat(file.fileno()).st_size))
        self._take_links(self.part)

    def _take_links(self, chain: OpenStream) -> None:
        links = links_of(chain.format, chain.window)
        if len(links) == 1:
            self.complete = links[0].ends
            return
        self.is_whole = False
        chain.close()
        self._waiting.extend((chain.window.between(link.start, link.end), link.ends) for link in links)
        if refusal := self._open_next():
            raise refusal
        self.part = replace(self.part, garbage_bytes=chain.garbage_bytes)

    def next_part(self) -> bool:
        """Opens the next part in place of the open one. Returns False if no further part can be opened."""
        if not self._waiting:
            return False
        self.part.close()
        return self._open_next() is None

    def _open_next(self) -> NotAudio | None:
        refusal = None
        while self._waiting:
            window, self.complete = self._waiting.popleft()
            try:
                self.part = open_part(window)
                return None
            except NotAudio as error:
                self.refused_bytes += window.size
                refusal = error
        return refusal

    def resume_after(self, offset: int) -> bool:
        """Looks for a readable part after byte `offset` of the open part, and queues it as the next one."""
        mark, window = _RESUME_AT.get(self.part.format), self.part.window
        while mark and offset < window.size:
            found = window.bytes_at(offset, _STRIDE + len(mark)).find(mark)
            if found >= 0:
                self._waiting.appendleft((window.after(offset + found), True))
                return True
            offset += _STRIDE
        return False

    def close(self) -> None:
        self.part.close()


@contextmanager
def open_song(path: Path) -> Iterator[OpenSong]:
    """Ready to decode. Raises NotAudio; OSError if the file cannot be read."""
    with path.open("rb", buffering=0) as file:
        song = OpenSong(file)
        try:
            yield song
        finally:
            song.close()


def frames(song: OpenSong, findings: Findings) -> Iterator[AudioFrame]:
    """Yields every frame that decodes, in order; `findings` counts what does not decode and what is missing.

    FFmpeg removes encoder delay and padding if it knows them: both in MP3, Ogg and WebM, the delay alone in MP4.
    """
    account = PacketAccount(song.part, findings, first=True)
    while True:
        yield from _frames_of_part(song, account)
        if not song.next_part():
            break
        account = PacketAccount(
            song.part, findings, first=False, missing_seconds=account.missing_seconds() if song.resumes else 0.0
        )
    findings.unread_bytes += song.refused_bytes


def nothing_decodes(song: OpenSong) -> NotAudio:
    if song.packets_read:
        return NotAudio(f"nothing in the file decodes to audio: {song.packets_read} packets tried")
    return NotAudio("the file has no samples")


def _frames_of_part(song: OpenSong, account: PacketAccount) -> Iterator[AudioFrame]:
    reader = _Reader(song, account)
    for packet in reader.packets():
        yield from _decode(song.part, account, packet)
    yield from _decode(song.part, account, None)  # frames buffered in the decoder
    account.close(_end_of(song, account, reader))


def _end_of(song: OpenSong, account: PacketAccount, reader: _Reader) -> End:
    song.resumes = False
    if not reader.failed:
        return End.REACHED if song.complete else End.UNMARKED
    song.resumes = song.resume_after(account.end + 1)
    return End.RESUMED if song.resumes else End.GIVEN_UP


class _Reader:
    """The packets of a part. `failed`: the demuxer stopped because of errors, before the end."""

    def __init__(self, song: OpenSong, account: PacketAccount) -> None:
        self._song, self._account = song, account
        self.failed = False

    def packets(self) -> Iterator[AudioPacket]:
        part, errors, furthest = self._song.part, 0, 0
        while errors < MAX_READ_ERRORS:
            try:
                for packet in part.container.demux(part.stream):
                    # An empty packet would flush the decoder in the middle of the song.
                    if packet.size:
                        errors = 0
                        self._song.packets_read += 1
                        self._account.packet(packet)
                        yield packet
                return
            except IndexError:
                # a packet of a stream that appeared in mid-file: PyAV does not know it, and it is not the song
                continue
            except av.FFmpegError:
                errors = errors + 1 if part.window.furthest == furthest else 1
                furthest = part.window.furthest
                self._account.read_error()
        self.failed = True


def _decode(part: OpenStream, account: PacketAccount, packet: AudioPacket | None) -> list[AudioFrame]:
    try:
        decoded = part.stream.codec_context.decode(packet)
    except (av.FFmpegError, EOFError):
        account.skipped(packet)
        return []
    usable = [frame for frame in decoded if MIN_RATE <= frame.sample_rate <= MAX_RATE and frame.samples]
    if decoded and not usable:
        account.skipped(packet)
    for frame in usable:
        account.frame(frame)
    return usable
