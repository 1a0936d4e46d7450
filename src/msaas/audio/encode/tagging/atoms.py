"""Adds boxes to the end of an MP4 that FFmpeg has written, whose index, `moov`, is its last box."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from msaas.audio.tags import Cover

_HEAD = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
_FULL_BOXES = frozenset({b"meta"})  # their children begin behind four more bytes
_PICTURE_KINDS = {"image/jpeg": 13, "image/png": 14}  # of iTunes' data boxes


def box(name: bytes, content: bytes) -> bytes:
    return _HEAD.pack(_HEAD.size + len(content), name) + content


def add_cover(path: Path, cover: Cover) -> None:
    """Raises ValueError if the file has no tags."""
    data = box(b"data", struct.pack(">II", _PICTURE_KINDS[cover.media_type], 0) + cover.data)
    append_box(path, (b"moov", b"udta", b"meta", b"ilst"), box(b"covr", data))


def append_box(path: Path, parents: Sequence[bytes], added: bytes) -> None:
    """Writes `added` at the end of the file, as the last child of the nested boxes `parents`. Raises ValueError unless
    each of them is the last one in its own parent."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start, found = 0, []
        for name in parents:
            place = _last(file, start, end, name)
            if place is None:
                raise ValueError(f"{path} has no box {name.decode()} at its end")
            found.append(place)
            start = place + _HEAD.size + (4 if name in _FULL_BOXES else 0)
        for place in found:
            file.seek(place)
            size, name = _HEAD.unpack(file.read(_HEAD.size))
            file.seek(place)
            file.write(_HEAD.pack(size + len(added), name))
        file.seek(end)
        file.write(added)


def _last(file: IO[bytes], start: int, end: int, name: bytes) -> int | None:
    """Where the last box between two offsets starts, if it has this name."""
    place, kind = start, b""
    while start < end:
        place = start
        file.seek(start)
        size, kind = _HEAD.unpack(file.read(_HEAD.size))
        if size == 1:
            (size,) = _LARGE.unpack(file.read(_LARGE.size))
        if size < _HEAD.size:
            return None
        start += size
    return place if kind == name and start == end else None
