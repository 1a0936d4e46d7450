"""Tags of a WAV: a LIST of INFO, which most programs read, and an ID3v2 tag, which has the cover. Pure."""

from __future__ import annotations

import struct

from msaas.audio.encode.tagging.id3 import id3_tag
from msaas.audio.tags import StemTags

# RIFF MCI (Microsoft and IBM, 1991), pages 2-14 to 2-16; ITRK is what programs use for the track.
_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "track": b"ITRK",
    "date": b"ICRD",
    "comment": b"ICMT",
}


def tag_chunks(tags: StemTags) -> bytes:
    """For the end of the file, after the samples. Texts are in UTF-8, as FFmpeg and players write them."""
    texts = [chunk(name, tags.texts[key].encode() + b"\0") for key, name in _NAMES.items() if key in tags.texts]
    return chunk(b"LIST", b"INFO" + b"".join(texts)) + chunk(b"id3 ", id3_tag(tags))


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
