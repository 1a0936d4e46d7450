"""Writes the exact end padding into an MP3's Info tag. Raises ValueError for a file without one.

Layout: http://gabriel.mp3-tech.org/mp3infotag.html. libavformat writes a padding up to 46 samples short if the length
is 1 to 46 samples past a whole frame; players would add those samples at the end.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

ENCODER_DELAY = 576  # LAME's, as libavformat writes it; decoders add their own 529
_HEAD_BYTES = 4096  # the tag is the first frame
_AFTER_MARK_TO_DELAY = 4 + 4 + 4 + 4 + 100 + 4 + 9 + 1 + 1 + 8 + 1 + 1
_AFTER_DELAY_TO_CRC = 3 + 1 + 1 + 2 + 4 + 2


@dataclass(frozen=True)
class _Tag:
    frames: int
    delay_at: int
    crc_at: int


def write_true_padding(path: Path, *, total_samples: int, samples_per_frame: int, start: int = 0) -> None:
    """Makes the file decode to exactly `total_samples`: padding = frames · samples_per_frame − 576 − total_samples.

    `start`: where the Info tag's frame begins, after an ID3 tag.
    """
    with path.open("r+b") as file:
        file.seek(start)
        head = bytearray(file.read(_HEAD_BYTES))
        tag = _find(head, path)
        padding = tag.frames * samples_per_frame - ENCODER_DELAY - total_samples
        if not 0 <= padding < 1 << 12:
            raise ValueError(f"{path}: {padding} samples of padding; the tag holds 0 to 4095")
        head[tag.delay_at : tag.delay_at + 3] = (ENCODER_DELAY << 12 | padding).to_bytes(3, "big")
        head[tag.crc_at : tag.crc_at + 2] = crc16(head[: tag.crc_at]).to_bytes(2, "big")
        file.seek(start)
        file.write(head[: tag.crc_at + 2])


def _find(head: bytearray, path: Path) -> _Tag:
    mark = max(head.find(b"Info", 0, 64), head.find(b"Xing", 0, 64))
    if mark < 0 or len(head) < mark + _AFTER_MARK_TO_DELAY + _AFTER_DELAY_TO_CRC + 2:
        raise ValueError(f"{path} has no Info tag")
    flags, frames = struct.unpack_from(">II", head, mark + 4)
    if flags != 0x0F:
        raise ValueError(f"{path}: an Info tag with flags {flags:#x}; expected all four fields")
    delay_at = mark + _AFTER_MARK_TO_DELAY
    return _Tag(frames, delay_at, delay_at + _AFTER_DELAY_TO_CRC)


def crc16(data: bytes | bytearray) -> int:
    """CRC-16/ARC (polynomial 0x8005, reflected) over all bytes of the file before it; the tag ends with it.

    Computed as LAME does. libavformat always takes 190 bytes, which is the same for stereo but not for mono.
    """
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
