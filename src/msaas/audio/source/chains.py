"""Songs one behind the other in a file, each with its own rate, channels and codec: where each link begins and ends.

FFmpeg reads on in an Ogg where the next link is like the one before, and refuses it where it is not; in a FLAC it may
lose the first frame of the next. So each link is read as a file of its own, which keeps the exact length of each, too.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from msaas.audio.source.window import Window

_HEAD = struct.Struct("<4sBBqIIIB")
_MAX_PAGE_HEAD_BYTES = 27 + 255
_FIRST, _LAST = 2, 4  # a page's header type: the first and the last of its logical stream
_SCAN_BYTES = 1 << 16
_FLAC = b"fLaC\x00\x00\x00\x22"
_FLAC_SCAN_BYTES = 1 << 20


@dataclass(frozen=True)
class Link:
    """`ends`: its last page says that it is the last. Places are bytes from the window's beginning."""

    start: int
    end: int
    ends: bool


def links_of(format_name: str, song: Window) -> list[Link]:
    """The links in order: one, the whole window, where it is no chain."""
    if format_name == "ogg":
        return _ogg_links(song)
    return _flac_links(song) if format_name == "flac" else [Link(0, song.size, True)]


def _flac_links(song: Window) -> list[Link]:
    """Concatenated files: each begins with its mark and a STREAMINFO block of 34 bytes (RFC 9639, section 8)."""
    starts, at = [0], 1
    while at < song.size:
        found = song.bytes_at(at, _FLAC_SCAN_BYTES + len(_FLAC)).find(_FLAC)
        if found >= 0:
            starts.append(at + found)
        at += found + 1 if found >= 0 else _FLAC_SCAN_BYTES
    return [Link(start, end, True) for start, end in zip(starts, [*starts[1:], song.size], strict=True)]


def _ogg_links(song: Window) -> list[Link]:
    """Each page's header is looked at, its sound is not.

    A link begins with pages that begin streams; the first of them that follows another page begins the next link
    (RFC 3533, section 4).
    """
    starts, said = [0], [False]
    beginning = True
    place: int | None = 0
    while place is not None:
        kind, size = _page(song, place)
        if not size:
            place = _next_page(song, place + 1)
            continue
        if kind & _FIRST and not beginning:
            starts.append(place)
            said.append(False)
        beginning = bool(kind & _FIRST)
        place += size
        said[-1] = said[-1] or bool(kind & _LAST and place <= song.size)
    ends = [*starts[1:], song.size]
    return [Link(*link) for link in zip(starts, ends, said, strict=True)]


def _page(song: Window, place: int) -> tuple[int, int]:
    """Header type and size in bytes; a size of 0 where no page is there."""
    head = song.bytes_at(place, _MAX_PAGE_HEAD_BYTES)
    if len(head) < _HEAD.size:
        return 0, 0
    mark, version, kind, _granule, _serial, _number, _crc, count = _HEAD.unpack_from(head)
    if mark != b"OggS" or version:
        return 0, 0
    return kind, _HEAD.size + count + sum(head[_HEAD.size : _HEAD.size + count])


def _next_page(song: Window, place: int) -> int | None:
    while place < song.size:
        found = song.bytes_at(place, _SCAN_BYTES + 4).find(b"OggS\0")
        if found >= 0:
            return place + found
        place += _SCAN_BYTES
    return None
