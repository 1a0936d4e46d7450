"""A short song in every container that PyAV can write here, and what taggers put around it."""

from __future__ import annotations

import struct
import tempfile
from functools import lru_cache
from pathlib import Path

from tests.support.audio.audio_files import music, write_song

# codec, container, rate
CONTAINERS = [
    ("libmp3lame", "mp3", 44_100),
    ("mp2", "mp2", 44_100),
    ("flac", "flac", 44_100),
    ("aac", "adts", 44_100),
    ("aac", "latm", 44_100),
    ("ac3", "ac3", 44_100),
    ("eac3", "eac3", 44_100),
    ("pcm_s16le", "wav", 44_100),
    ("adpcm_ima_wav", "wav", 44_100),
    ("pcm_s16le", "w64", 44_100),
    ("pcm_s16be", "aiff", 44_100),
    ("pcm_s16be", "caf", 44_100),
    ("pcm_s16be", "au", 44_100),
    ("pcm_s16le", "voc", 44_100),
    ("wavpack", "wv", 44_100),
    ("tta", "tta", 44_100),
    ("vorbis", "ogg", 44_100),
    ("libopus", "ogg", 48_000),
    ("flac", "ogg", 44_100),
    ("aac", "ipod", 44_100),
    ("aac", "mov", 44_100),
    ("flac", "matroska", 44_100),
    ("libopus", "webm", 48_000),
    ("pcm_s16le", "nut", 44_100),
    ("pcm_s16le", "avi", 44_100),
    ("aac", "mpegts", 44_100),
    ("mp2", "mpeg", 44_100),
    ("aac", "flv", 44_100),
    ("ac3", "rm", 44_100),
]
SAMPLES = 12_000


@lru_cache(maxsize=256)
def encoded(
    codec: str, container: str, rate: int = 44_100, samples: int = SAMPLES, channels: int = 2, seed: int = 0
) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        song = music(samples, channels, rate, seed)
        return write_song(Path(folder) / "song", song, codec=codec, container=container, rate=rate).read_bytes()


def id3(size: int, *, footer: bool = False, fill: bytes = b"\0") -> bytes:
    """ID3v2.4 with `size` bytes of padding, or of `fill`."""
    flags = b"\x10" if footer else b"\0"
    rest = b"\x04\0" + flags + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + rest + fill * size + (b"3DI" + rest if footer else b"")


def ape(size: int) -> bytes:
    """APEv2 with header and footer around one item of `size` bytes."""
    item = struct.pack("<II", size, 0) + b"Comment\0" + b"a" * size

    def end(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)

    return end(0xA0000000) + item + end(0x80000000)


def lyrics(size: int) -> bytes:
    """Lyrics3v2, which lies ahead of an ID3v1 tag."""
    text = b"LYRICSBEGIN" + b"LYR%05d" % size + b"a" * size
    return text + b"%06d" % len(text) + b"LYRICS200"


ID3V1 = b"TAG" + bytes(125)
