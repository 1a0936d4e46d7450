"""Measures tags and padding around a song: where the sound starts and ends. Reads a few bytes of each tag."""

from __future__ import annotations

import re
import struct

from msaas.audio.source.window import Window

MAX_TAGS = 64  # before one song, or after it
MAX_APE_WITHOUT_HEADER_BYTES = 1 << 20
MAX_PADDING_BYTES = 1 << 20  # zeros between tags and song

ID3V2_HEADER_BYTES = 10
_APE_BYTES = 32
_APE_IS_HEADER = 1 << 29
_APE_HAS_HEADER = 1 << 31
ID3V1_BYTES = 128
_LYRICS_END_BYTES = 15  # six digits of size, then LYRICS200
# A zero byte can belong to what follows: MP4's sizes, MPEG's start codes.
_STARTS_WITH_ZEROS = re.compile(
    rb"\x00{1,3}[^\x00][^\x00]?[^\x00]?(?:ftyp|moov|mdat|free|skip|wide|pnot)|\x00\x00\x01[\xb0-\xff]"
)


def leading_bytes(song: Window) -> int:
    """The length of valid data before a song: ID3v2 tags, APEv2 tags and zeros, in any order.

    0 if nothing follows them: a tag that claims the whole file is ignored.
    """
    at = 0
    for _ in range(MAX_TAGS):
        step = _tag_bytes(song.bytes_at(at, _APE_BYTES)) or _zeros(song, at)
        if not step:
            return at
        at += step
        if at >= song.size:
            return 0
    return at


def _tag_bytes(head: bytes) -> int:
    return _id3v2_bytes(head) or _ape_bytes(head)


def _id3v2_bytes(head: bytes) -> int:
    """ID3v2.4, section 3.1: the size has seven bits per byte and excludes header and footer."""
    if len(head) < ID3V2_HEADER_BYTES or head[:3] != b"ID3" or 0xFF in head[3:5] or max(head[6:10]) > 0x7F:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    footer = ID3V2_HEADER_BYTES if head[5] & 0x10 else 0
    return ID3V2_HEADER_BYTES + size + footer


def _ape_bytes(head: bytes) -> int:
    """APEv2 at the front, which starts with its header; the size includes items and footer."""
    if len(head) < _APE_BYTES or head[:8] != b"APETAGEX":
        return 0
    size, flags = struct.unpack_from("<I4xI", head, 12)
    return _APE_BYTES + int(size) if flags & _APE_IS_HEADER else 0


def _zeros(song: Window, at: int) -> int:
    """The zeros before the first other byte, without those that belong to it."""
    head = song.bytes_at(at, 1)
    if head != b"\0":
        return 0
    head = song.bytes_at(at, MAX_PADDING_BYTES)
    count = len(head) - len(head.lstrip(b"\0"))
    if count == len(head):
        return 0
    for place in range(max(0, count - 3), count):
        if _STARTS_WITH_ZEROS.match(head, place):
            return place
    return count


def trailing_bytes(song: Window) -> int:
    """The length of the tags at a song's end: ID3v1, APEv2, Lyrics3, ID3v2 with a footer, in any order."""
    end = song.size
    for _ in range(MAX_TAGS):
        step = _tag_bytes_before(song, end)
        if not 0 < step <= end:
            break
        end -= step
    return song.size - end


def _tag_bytes_before(song: Window, end: int) -> int:
    """The size of the tag that ends at `end`; 0 if its start mark is not where its size says."""
    tail = song.bytes_at(max(0, end - ID3V1_BYTES), min(end, ID3V1_BYTES))
    if len(tail) == ID3V1_BYTES and tail[:3] == b"TAG":
        return ID3V1_BYTES
    size, mark = _declared_before(tail)
    return size if 0 < size <= end and song.bytes_at(end - size, len(mark)) == mark else 0


def _declared_before(tail: bytes) -> tuple[int, bytes]:
    """The declared size and start mark of the tag at the end of a file; size 0 if there is none."""
    if tail[-_APE_BYTES:-24] == b"APETAGEX":
        size, flags = struct.unpack_from("<I4xI", tail, len(tail) - 20)
        if flags & _APE_HAS_HEADER:
            return int(size) + _APE_BYTES, b"APETAGEX"
        return (int(size), b"") if size <= MAX_APE_WITHOUT_HEADER_BYTES else (0, b"")
    if tail[-9:] == b"LYRICS200" and tail[-_LYRICS_END_BYTES:-9].isdigit():
        return int(tail[-_LYRICS_END_BYTES:-9]) + _LYRICS_END_BYTES, b"LYRICSBEGIN"
    if tail[-10:-7] == b"3DI":
        return _id3v2_bytes(b"ID3" + tail[-7:]), b"ID3"
    return 0, b""
