"""A tag in ID3v2.3, which the oldest programs read, too: https://id3.org/id3v2.3.0. Pure."""

from __future__ import annotations

import re
import struct

from msaas.audio.tags import Cover, StemTags

HEADER_BYTES = 10
_UTF16 = b"\x01"
_FRAMES = {"title": b"TIT2", "artist": b"TPE1", "album": b"TALB", "track": b"TRCK"}
_DATE = re.compile(r"(\d{4})(?:-(\d\d)-(\d\d))?.*")
_FRONT_COVER = 3


def id3_tag(tags: StemTags) -> bytes:
    texts = [_frame(name, _UTF16 + _text(tags.texts[key])) for key, name in _FRAMES.items() if key in tags.texts]
    body = b"".join([*texts, *_date(tags.texts.get("date", "")), *_comment(tags.texts.get("comment", ""))])
    if tags.cover:
        body += _picture(tags.cover)
    return b"ID3\x03\x00\x00" + _synchsafe(len(body)) + body


def _frame(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">IH", len(content), 0) + content


def _text(text: str) -> bytes:
    """UTF-16 with its byte order mark."""
    return b"\xff\xfe" + text.encode("utf-16-le")


def _date(text: str) -> list[bytes]:
    """Year, and day and month if they are known; other texts have no place in a date."""
    found = _DATE.fullmatch(text)
    if not found:
        return []
    year, month, day = found.groups()
    parts = [_frame(b"TYER", _UTF16 + _text(year))]
    return [*parts, _frame(b"TDAT", _UTF16 + _text(day + month))] if month else parts


def _comment(text: str) -> list[bytes]:
    description = _text("") + b"\0\0"
    return [_frame(b"COMM", _UTF16 + b"eng" + description + _text(text))] if text else []


def _picture(cover: Cover) -> bytes:
    latin_1 = b"\x00"
    head = latin_1 + cover.media_type.encode() + b"\0" + bytes([_FRONT_COVER]) + b"\0"
    return _frame(b"APIC", head + cover.data)


def _synchsafe(size: int) -> bytes:
    """28 bits, seven in each byte."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
