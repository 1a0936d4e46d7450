"""The picture of a FLAC file (RFC 9639, section 8.8), written where FFmpeg has left padding; Opus has it as text."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

from msaas.audio.tags import Cover

_PADDING, _PICTURE = 1, 6
_LAST = 0x80
_FRONT_COVER = 3


def picture_block(cover: Cover) -> bytes:
    """The block's content. Size and depth of the picture are 0, which means unknown: it is not decoded here."""
    kind = cover.media_type.encode()
    return (
        struct.pack(">II", _FRONT_COVER, len(kind))
        + kind
        + struct.pack(">IIIIII", 0, 0, 0, 0, 0, len(cover.data))
        + cover.data
    )


def as_comment(cover: Cover) -> str:
    """The value of METADATA_BLOCK_PICTURE in Ogg (https://wiki.xiph.org/VorbisComment#METADATA_BLOCK_PICTURE)."""
    return base64.b64encode(picture_block(cover)).decode()


def write_picture(path: Path, block: bytes) -> None:
    """Replaces the padding of a FLAC file, which must be as long as the block. Raises ValueError."""
    with path.open("r+b") as file:
        file.seek(4)
        while head := file.read(4):
            kind, length = head[0] & ~_LAST, int.from_bytes(head[1:], "big")
            if kind == _PADDING and length == len(block):
                file.seek(-4, 1)
                file.write(bytes([head[0] & _LAST | _PICTURE]) + head[1:] + block)
                return
            if head[0] & _LAST:
                break
            file.seek(length, 1)
    raise ValueError(f"{path} has no padding of {len(block)} bytes")
