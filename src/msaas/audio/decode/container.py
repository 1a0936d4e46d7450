"""A song's frames, from the first part of its file to the last. Whatever does not decode is skipped and counted."""

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

MAX_READ_ERRORS = 32  # in a row without a byte read: a demuxer that stays where it is will not get any further

# Below and above these no recording exists, and a rate of 1 Hz would turn a small file into gigabytes at 44.1 kHz.
MIN_RATE, MAX_RATE = 1_000, 3_000_000

# Marks that each piece of a stream begins with, where reading goes on behind a piece that cannot be read.
_RESUME_AT = {"wv": b"wvpk"}
_STRIDE = 1 << 20


class OpenSong:
    """A file's parts, one of them open at a time: the links of a chain, else one. Counts what was tried."""

    def __init__(self, file: io.FileIO) -> None:
        """Raises NotAudio where no part can be opened."""
        self.packets_read = 0
        self.refused_bytes = 0  # of parts that cannot be opened
        self.is_whole = True  # in one part
        self.complete = True  # the part ends where it says that it does; false of an Ogg link without its end
        self.goes_on = False  # the next part is the rest of one that could not be read to its end
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
        """Opens what follows, in place of the part that is open. False where nothing follows that can be opened."""
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

    def go_on_behind(self, place: int) -> bool:
        """Whether what lies behind `place`, in the open part, can be read as a part of its own: it is the next then."""
        mark, window = _RESUME_AT.get(self.part.format), self.part.window
        while mark and place < window.size:
            found = window.bytes_at(place, _STRIDE + len(mark)).find(mark)
            if found >= 0:
                self._waiting.appendleft((window.after(place + found), True))
                return True
            place += _STRIDE
        return False

    def close(self) -> None:
        self.part.close()


@contextmanager
def open_song(path: Path) -> Iterator[OpenSong]:
    """Ready to decode. Raises NotAudio; OSError where the file cannot be read."""
    with path.open("rb", buffering=0) as file:
        song = OpenSong(file)
        try:
            yield song
        finally:
            song.close()


def frames(song: OpenSong, findings: Findings) -> Iterator[AudioFrame]:
    """Every frame that decodes, in order; `findings` hears of what does not, and of what is missing.

    FFmpeg cuts what an encoder put ahead and behind, as far as the container says so to it: both in MP3, Ogg and
    WebM, in MP4 what is ahead.
    """
    account = PacketAccount(song.part, findings, first=True)
    while True:
        yield from _frames_of_part(song, account)
        if not song.next_part():
            break
        account = PacketAccount(song.part, findings, first=False, owed=account.owed() if song.goes_on else 0.0)
    findings.unread_bytes += song.refused_bytes


def nothing_decodes(song: OpenSong) -> NotAudio:
    if song.packets_read:
        return NotAudio(f"nothing in the file decodes to sound: {song.packets_read} packets tried")
    return NotAudio("the file has no samples")


def _frames_of_part(song: OpenSong, account: PacketAccount) -> Iterator[AudioFrame]:
    reader = _Reader(song, account)
    for packet in reader.packets():
        yield from _decode(song.part, account, packet)
    yield from _decode(song.part, account, None)  # what the decoder still holds
    account.close(_end_of(song, account, reader))


def _end_of(song: OpenSong, account: PacketAccount, reader: _Reader) -> End:
    song.goes_on = False
    if not reader.gave_up:
        return End.REACHED if song.complete else End.WITHOUT_MARK
    song.goes_on = song.go_on_behind(account.end + 1)
    return End.GOES_ON if song.goes_on else End.GIVEN_UP


class _Reader:
    """The packets of a part. `gave_up`: the demuxer stopped at errors, and not at the end."""

    def __init__(self, song: OpenSong, account: PacketAccount) -> None:
        self._song, self._account = song, account
        self.gave_up = False

    def packets(self) -> Iterator[AudioPacket]:
        part, errors, furthest = self._song.part, 0, 0
        while errors < MAX_READ_ERRORS:
            try:
                for packet in part.container.demux(part.stream):
                    # An empty packet would tell the decoder that the song is over, wherever it stands.
                    if packet.size:
                        errors = 0
                        self._song.packets_read += 1
                        self._account.packet(packet)
                        yield packet
                return
            except IndexError:
                continue  # a packet of a stream that began in mid-file: PyAV does not know it, and it is not ours
            except av.FFmpegError:
                errors = errors + 1 if part.window.furthest == furthest else 1
                furthest = part.window.furthest
                self._account.read_error()
        self.gave_up = True


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
