"""Files nobody should be sent, byte by byte. Every one is made here; none is kept."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import av
import numpy as np

from msaas.audio.encode.wav import wav_header
from tests.support.audio.audio_files import music, write_song

RATE = 44_100


def encoded(codec: str, container: str, *, seconds: float = 1.0, rate: int = RATE, channels: int = 2) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        samples = music(int(seconds * rate), channels, rate)
        path = write_song(Path(folder) / "song", samples, codec=codec, container=container, rate=rate)
        return path.read_bytes()


def mp3(seconds: float = 1.0, rate: int = RATE) -> bytes:
    return encoded("libmp3lame", "mp3", seconds=seconds, rate=rate)


def flac(seconds: float = 1.0) -> bytes:
    return encoded("flac", "flac", seconds=seconds)


def m4a(seconds: float = 1.0) -> bytes:
    return encoded("aac", "ipod", seconds=seconds)


def ogg(seconds: float = 1.0, rate: int = RATE) -> bytes:
    return encoded("flac", "ogg", seconds=seconds, rate=rate)


def pcm(seconds: float = 0.5, channels: int = 2) -> bytes:
    return music(int(seconds * RATE), channels).T.astype("<f4").tobytes()


# --- silence by the hour

MP3_FRAME_SECONDS = 576 / 8000
# MPEG 2.5 layer III, 8 kb/s, 8 kHz, mono; side information of zeros: nothing follows, and it sounds like that
MP3_SILENCE = b"\xff\xe3\x18\xc0" + bytes(68)


def silent_mp3(hours: float) -> bytes:
    return MP3_SILENCE * int(hours * 3600 / MP3_FRAME_SECONDS)


def with_xing(frames_said: int, song: bytes) -> bytes:
    """An MP3 of the same kind whose first frame claims this many frames."""
    xing = b"Info" + struct.pack(">III", 3, frames_said, 72 * frames_said & 0xFFFFFFFF)
    first = MP3_SILENCE[:4] + bytes(9) + xing
    return first + bytes(72 - len(first)) + song


OPUS_SECONDS = 0.12
_OPUS_SILENCE = b"\x1b\x02"  # two frames of 60 ms, neither with a byte in it


def _ogg_crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_CRC = _ogg_crc_table()


def ogg_page(packets: list[bytes], granule: int, number: int, kind: int = 0, serial: int = 7) -> bytes:
    """Packets of less than 255 bytes each."""
    head = b"OggS\0" + struct.pack("<BqIIIB", kind, granule, serial, number, 0, len(packets))
    page = head + bytes(len(packet) for packet in packets) + b"".join(packets)
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def silent_opus(hours: float, granule_step: int = 5760) -> bytes:
    """`granule_step`: samples (48 kHz) that the pages claim each packet to hold; a true page says 5760."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    pages = [ogg_page([head], 0, 0, 2), ogg_page([tags], 0, 1)]
    left, said = int(hours * 3600 / OPUS_SECONDS), 0
    while left > 0:
        count = min(left, 250)
        left, said = left - count, said + count * granule_step
        pages.append(ogg_page([_OPUS_SILENCE] * count, said, len(pages), 0 if left else 4))
    return b"".join(pages)


# --- headers that lie


def flac_saying(samples: int, seconds: float = 1.0) -> bytes:
    data = bytearray(flac(seconds))
    at = data.index(b"fLaC") + 8 + 13  # the 36 bits of STREAMINFO's total
    data[at] = data[at] & 0xF0 | samples >> 32 & 0x0F
    data[at + 1 : at + 5] = struct.pack(">I", samples & 0xFFFFFFFF)
    return bytes(data)


def wav(data: bytes, *, rate: int = RATE, channels: int = 2, kind: int = 3, bits: int = 32, said: int = -1) -> bytes:
    """`said`: the data chunk's size as the header has it."""
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", kind, channels & 0xFFFF, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    size = len(data) if said < 0 else said
    return b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + fmt + b"data" + struct.pack("<I", size) + data


def rf64(data: bytes, *, riff: int, size: int, samples: int) -> bytes:
    ds64 = struct.pack("<QQQI", riff, size, samples, 0)
    fmt = struct.pack("<HHIIHH", 3, 2, RATE, RATE * 8, 8, 32)
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(ds64)) + ds64
    return head + b"fmt \x10\0\0\0" + fmt + b"data\xff\xff\xff\xff" + data


def aiff_saying(frames: int) -> bytes:
    data = bytearray(encoded("pcm_s16be", "aiff"))
    at = data.index(b"COMM") + 10
    data[at : at + 4] = struct.pack(">I", frames)
    return bytes(data)


def caf_saying(size: int) -> bytes:
    data = bytearray(encoded("pcm_s16be", "caf"))
    at = data.index(b"data") + 4
    data[at : at + 8] = struct.pack(">q", size)
    return bytes(data)


def au_saying(size: int) -> bytes:
    data = bytearray(encoded("pcm_s16be", "au"))
    data[8:12] = struct.pack(">I", size)
    return bytes(data)


def box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def mp4_with_reference(url: bytes) -> bytes:
    """The song's data entry names another place, as QuickTime allows; the sizes stay, so that all offsets do."""
    data = m4a()
    at = data.index(b"dref") - 4
    size = struct.unpack(">I", data[at : at + 4])[0]
    entry = struct.pack(">I4sI", 12 + len(url), b"url ", 0) + url  # flag 0: not in this file
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    grown = len(dref) - size
    out = bytearray(data[:at] + dref + data[at + size :])
    for kind in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        place = bytes(out).rindex(kind, 0, at + 8) - 4
        out[place : place + 4] = struct.pack(">I", struct.unpack(">I", out[place : place + 4])[0] + grown)
    return bytes(out)


def mp4_of_a_billion_samples() -> bytes:
    table = box(b"stbl", box(b"stsz", struct.pack(">IIIB", 0, 0, 1_000_000_000, 0)))
    handler = box(b"hdlr", struct.pack(">II4s12sB", 0, 0, b"soun", b"", 0))
    track = box(b"trak", box(b"mdia", handler, box(b"minf", table)))
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + box(b"moov", track) + bytes(500)


def m4a_of_edits(count: int) -> bytes:
    """An edit list of so many entries, 12 bytes each: FFmpeg goes through the song's index once for each of them."""
    song = m4a()
    edits = struct.pack(">II", 0, count) + struct.pack(">IiI", 0, 1_000_000, 0x10000) * count
    moov_at = song.rindex(b"moov") - 4  # behind the sound, so that no offset changes
    before, trak, behind = _parted(song[moov_at:], b"trak")
    head, _old, tail = _parted(trak, b"edts")
    return song[:moov_at] + box(
        b"moov", before[8:], box(b"trak", head[8:], box(b"edts", box(b"elst", edits)), tail), behind
    )


def _parted(data: bytes, kind: bytes) -> tuple[bytes, bytes, bytes]:
    """What is ahead of the first box of that kind, the box, and what is behind it."""
    at = data.index(kind) - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    return data[:at], data[at:end], data[end:]


def nested_boxes(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"moov", inner)
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + inner


# --- tags


def _synchsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(*frames: bytes, padding: int = 0, said: int | None = None) -> bytes:
    body = b"".join(frames) + bytes(padding)
    return b"ID3\x03\0\0" + _synchsafe(len(body) if said is None else said) + body


def id3_frame(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">IH", len(content), 0) + content


def picture(size: int) -> bytes:
    return id3_frame(b"APIC", b"\0image/png\0\x03\0" + PNG + bytes(size))


def title(text: str) -> bytes:
    return id3_frame(b"TIT2", b"\x01" + text.encode("utf-16"))


# --- what is no song at all


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(bytes(4)))
    + _chunk(b"IEND", b"")
)


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tracker_module() -> bytes:
    """A ProTracker module of one pattern: libopenmpt would play it for ever."""
    samples = b"".join(bytes(22) + struct.pack(">HBBHH", 0, 0, 64, 0, 1) for _ in range(31))
    return b"tune".ljust(20, b"\0") + samples + b"\x01\x7f" + bytes(128) + b"M.K." + bytes(1024)


def midi() -> bytes:
    return b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0"


# --- more than one stream


def film(*, sound: bool) -> bytes:
    """A second of MPEG-4 video, with or without a song beside it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        with av.open(str(path), "w", format="matroska") as out:
            picture_stream = out.add_stream("mpeg4", rate=10)
            picture_stream.width = picture_stream.height = 64
            picture_stream.pix_fmt = "yuv420p"
            tracks = [out.add_stream("flac", rate=RATE, layout="stereo")] if sound else []
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                out.mux(picture_stream.encode(frame))
            _fill(out, tracks)
            out.mux(picture_stream.encode(None))
        return path.read_bytes()


def many_tracks(count: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tracks"
        with av.open(str(path), "w", format="matroska") as out:
            _fill(out, [out.add_stream("flac", rate=RATE, layout="stereo") for _ in range(count)])
        return path.read_bytes()


def _fill(out: av.container.OutputContainer, tracks: list[av.AudioStream]) -> None:
    for track in tracks:
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * RATE), np.int16), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        out.mux(track.encode(frame))
    for track in tracks:
        out.mux(track.encode(None))


def wav_of(samples: np.ndarray, rate: int = RATE) -> bytes:
    """[channels, n] float32, whatever the values."""
    return wav_header(rate, *samples.shape) + samples.T.astype("<f4").tobytes()
