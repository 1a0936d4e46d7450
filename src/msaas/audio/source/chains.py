"""Finds the links of a chained file: songs in sequence, each with its own rate, channels and codec.

FFmpeg continues an Ogg if the next link has the same format and rejects it otherwise; in a FLAC it can lose the first
frame of the next link. So each link is read as a file of its own, which also keeps each length exact.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from msaas.audio.source.window import Window

_HEAD = struct.Struct("<4sBBqIIIB")
_MAX_PAGE_HEAD_BYTES = 27 + 255
_FIRST, _LAST = 2, 4  # a page's header type: the first and last of its logical stream
_SCAN_BYTES = 1 << 16
_FLAC = b"fLaC\x00\x00\x00\x22"
_FLAC_SCAN_BYTES = 1 << 20


@dataclass(frozen=True)
class Link:
    """`start` and `end` are bytes from the start of the window; `ends`: its last page is marked as last."""

    start: int
    end: int
    ends: bool


def links_of(format_name: str, song: Window) -> list[Link]:
    """The links in order; a file that is not a chain is one link, the whole window."""
    if format_name == "ogg":
        return _ogg_links(song)
    return _flac_links(song) if format_name == "flac" else [Link(0, song.size, True)]


def _flac_links(song: Window) -> list[Link]:
    """Concatenated files: each starts with the FLAC mark and a STREAMINFO block of 34 bytes (RFC 9639, section 8)."""
    starts, at = [0], 1
    while at < song.size:
        found = song.bytes_at(at, _FLAC_SCAN_BYTES + len(_FLAC)).find(_FLAC)
        if found >= 0:
            starts.append(at + found)
        at += found + 1 if found >= 0 else _FLAC_SCAN_BYTES
    return [Link(start, end, True) for start, end in zip(starts, [*starts[1:], song.size], strict=True)]


def _ogg_links(song: Window) -> list[Link]:
    """Reads every page's header, not its sound.

    A link starts with pages that start streams; the first of them after another page starts the next link (RFC 3533,
    section 4).
    """
    starts, marked = [0], [False]
    beginning = True
    offset: int | None = 0
    while offset is not None:
        kind, size = _page(song, offset)
        if not size:
            offset = _next_page(song, offset + 1)
            continue
        if kind & _FIRST and not beginning:
            starts.append(offset)
            marked.append(False)
        beginning = bool(kind & _FIRST)
        offset += size
        marked[-1] = marked[-1] or bool(kind & _LAST and offset <= song.size)
    ends = [*starts[1:], song.size]
    return [Link(*link) for link in zip(starts, ends, marked, strict=True)]


def _page(song: Window, offset: int) -> tuple[int, int]:
    """Header type and size in bytes; size 0 without a page."""
    head = song.bytes_at(offset, _MAX_PAGE_HEAD_BYTES)
    if len(head) < _HEAD.size:
        return 0, 0
    mark, version, kind, _granule, _serial, _number, _crc, count = _HEAD.unpack_from(head)
    if mark != b"OggS" or version:
        return 0, 0
    return kind, _HEAD.size + count + sum(head[_HEAD.size : _HEAD.size + count])


def _next_page(song: Window, offset: int) -> int | None:
    while offset < song.size:
        found = song.bytes_at(offset, _SCAN_BYTES + 4).find(b"OggS\0")
        if found >= 0:
            return offset + found
        offset += _SCAN_BYTES
    return None
