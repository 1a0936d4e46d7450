"""Whatever may lawfully stand in front of a song, or behind it, changes nothing about the song."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from msaas.audio.decode.decoder import Decoder
from msaas.audio.decode.probe import probe
from msaas.audio.limits import Limits
from msaas.audio.source.tags import leading_bytes, trailing_bytes
from msaas.audio.source.window import Window
from msaas.errors import NotAudio
from tests.support.audio.containers import CONTAINERS, ID3V1, ape, encoded, id3, lyrics

AHEAD = {
    "an empty ID3v2 tag": id3(0),
    "an ID3v2 tag of 3 kB": id3(3_000),
    "an ID3v2 tag of 2 MB": id3(2_000_000),
    "an ID3v2 tag of 6 MB, more than FFmpeg probes": id3(6_000_000),
    "an ID3v2 tag with a footer": id3(3_000, footer=True),
    "two ID3v2 tags": id3(2_000_000) + id3(700),
    "an ID3v2 tag and padding": id3(3_000) + bytes(5_000),
    "an APEv2 tag": ape(100_000),
    "an ID3v2 tag and an APEv2 tag": id3(3_000) + ape(3_000),
    "2 kB of zeros": bytes(2_000),
    "900 kB of zeros": bytes(900_000),
}
BEHIND = {
    "ID3v1": ID3V1,
    "APEv2": ape(3_000),
    "APEv2 and ID3v1": ape(3_000) + ID3V1,
    "Lyrics3 and ID3v1": lyrics(2_000) + ID3V1,
    "ID3v2 with a footer": id3(3_000, footer=True),
}


def heard(path, content):
    """By the decoder; the probe has to let in what it reads."""
    path.write_bytes(content)
    decoder = Decoder(path, sample_rate=44_100, channels=2)
    samples = np.concatenate(list(decoder.blocks()), axis=1)
    assert probe(path, Limits()).sample_rate
    return samples, decoder.report


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize(("codec", "container", "rate"), CONTAINERS)
def test_a_song_is_the_same_song_behind(tmp_path, codec, container, rate, ahead):
    song = encoded(codec, container, rate)
    meant, plain = heard(tmp_path / "a", song)
    found, report = heard(tmp_path / "b", AHEAD[ahead] + song)
    assert np.array_equal(found, meant)
    assert report == plain


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize(("codec", "container"), [("libmp3lame", "mp3"), ("flac", "flac"), ("wavpack", "wv")])
def test_a_song_is_the_same_song_ahead_of(tmp_path, codec, container, behind):
    song = encoded(codec, container)
    meant, plain = heard(tmp_path / "a", song)
    found, report = heard(tmp_path / "b", song + BEHIND[behind])
    assert np.array_equal(found, meant)
    assert report == plain


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


@pytest.mark.parametrize("size", [4_000, 2_000_000, 7_000_000])
@pytest.mark.parametrize("name", [b"JUNK", b"LIST", b"bext", b"id3 "])
def test_chunks_ahead_of_a_wavs_format_are_passed_by(tmp_path, size, name):
    song = encoded("pcm_s16le", "wav")
    body = song[12:]
    content = b"WAVE" + chunk(name, bytes(size)) + body
    found, report = heard(tmp_path / "b", b"RIFF" + struct.pack("<I", len(content)) + content)
    assert np.array_equal(found, heard(tmp_path / "a", song)[0])
    assert report.ignored_bytes == 0


# FFmpeg looks for the first frame by itself in these, and takes garbage for one in the others now and then.
FOUND_BY_FFMPEG = ("ac3", "eac3", "nut", "rm")
TAKEN_FOR_OTHERS = ("latm", "mpegts", "mpeg")


@pytest.mark.parametrize(("codec", "container", "rate"), [one for one in CONTAINERS if one[1] not in TAKEN_FOR_OTHERS])
def test_garbage_ahead_is_looked_past_and_counted(tmp_path, codec, container, rate):
    noise = np.random.default_rng(3).integers(0, 255, 3_000, dtype=np.uint8).tobytes()
    meant, _ = heard(tmp_path / "a", encoded(codec, container, rate))
    found, report = heard(tmp_path / "b", noise + encoded(codec, container, rate))
    padding = 2 * 1_152  # an MP3 keeps its encoder's where its first frame, which tells of it, is not at the front
    assert meant.shape[1] <= found.shape[1] <= meant.shape[1] + padding
    if container not in FOUND_BY_FFMPEG:
        assert report.ignored_bytes >= 3_000


@pytest.mark.parametrize("container", ["mp3", "flac"])
@pytest.mark.parametrize("said", [bytes((0, 0, 16, 0)), bytes((127, 127, 127, 127))], ids=["too little", "too much"])
def test_a_tag_that_lies_about_its_size_hides_no_song(tmp_path, container, said):
    song = encoded({"mp3": "libmp3lame", "flac": "flac"}[container], container)
    tag = b"ID3\x04\0\0" + said + b"A" * 50_000
    found, report = heard(tmp_path / "b", tag + song)
    assert 12_000 <= found.shape[1] <= 12_000 + 2 * 1_152
    assert report.ignored_bytes > 40_000


def test_tags_alone_are_no_song(tmp_path):
    with pytest.raises(NotAudio):
        heard(tmp_path / "a", id3(3_000) + ape(3_000))


def window_of(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    return Window((tmp_path / "w").open("rb", buffering=0), 0, len(content))


@pytest.mark.parametrize(
    ("content", "ahead"),
    [
        (b"\0\0\0\x1cftypM4A ", 0),
        (bytes(500) + b"\0\0\0\x1cftypM4A ", 500),
        (bytes(500) + b"\0\0\x01\xbaD\0", 500),
        (b"\0\0\x01\xbaD\0", 0),
        (bytes(500), 0),
        (b"ID3\x04\0\0\0\0\0\x05", 0),
        (b"ID3\x04\0\0\0\0\x80\x05" + bytes(20), 0),
        (b"ID3\xff\0\0\0\0\0\x05" + bytes(20), 0),
        (id3(20) * 100 + b"fLaC", 64 * 30),
        (b"", 0),
    ],
)
def test_zeros_and_tags_that_belong_to_the_song_stay(tmp_path, content, ahead):
    assert leading_bytes(window_of(tmp_path, content)) == ahead


@pytest.mark.parametrize(
    "tag",
    [
        ape(100)[:8] + struct.pack("<IIII", 2000, 400, 1, 0xA0000000) + bytes(8),
        b"APETAGEX" + struct.pack("<IIII", 2000, 400, 1, 0x80000000) + bytes(8),
        b"000400LYRICS200",
        b"3DI\x04\0\x10\0\0\x03\0",
    ],
)
def test_a_tag_behind_that_does_not_begin_where_it_says_cuts_nothing_off(tmp_path, tag):
    assert trailing_bytes(window_of(tmp_path, b"a" * 1_000 + tag)) == 0
