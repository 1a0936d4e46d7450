"""Tags of real files, written by another library, as the probe reads them."""

import os

import mutagen
import pytest
from mutagen import apev2, flac, id3, mp4, oggopus, oggvorbis, wave

from msaas.audio.decode.probe import probe
from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.probe import probe_isolated
from msaas.audio.source import metadata

TAGS = {"title": "Größe 歌", "artist": "MSaaS", "album": "Samples", "track": "2/3", "date": "2026-11-27"}
FRAMES = {"TIT2": "title", "TPE1": "artist", "TALB": "album", "TRCK": "track", "TDRC": "date"}


@pytest.fixture(autouse=True, scope="module")
def _no_helper_left():
    yield
    launcher.stop()


def id3_frames(tags=TAGS):
    return [getattr(id3, frame)(encoding=3, text=tags[name]) for frame, name in FRAMES.items() if name in tags]


def with_id3(path, **more):
    found = id3.ID3()
    for frame in id3_frames():
        found.add(frame)
    found.save(path, **more)


def with_wave_id3(path):
    file = wave.WAVE(path)
    file.add_tags()
    for frame in id3_frames():
        file[frame.FrameID] = frame
    file.save()


def with_comments(kind):
    def write(path):
        file = kind(path)
        file.update({{"track": "tracknumber"}.get(name, name): text for name, text in TAGS.items()})
        file.save()

    return write


def with_atoms(path):
    file = mp4.MP4(path)
    file.update({"\xa9nam": TAGS["title"], "\xa9ART": "MSaaS", "\xa9alb": "Samples", "\xa9day": TAGS["date"]})
    file["trkn"] = [(2, 3)]
    file.save()


def with_ape(path):
    found = apev2.APEv2()
    found.update({"Title": TAGS["title"], "Artist": "MSaaS", "Album": "Samples", "Track": "2/3", "Year": TAGS["date"]})
    found.save(path)


KINDS = {
    "ID3v2.4 before an MP3": ("libmp3lame", "mp3", with_id3),
    "ID3v2.3 before an MP3": ("libmp3lame", "mp3", lambda path: with_id3(path, v2_version=3)),
    "APEv2 of a WavPack": ("wavpack", "wv", with_ape),
    "FLAC": ("flac", "flac", with_comments(flac.FLAC)),
    "Ogg Vorbis": ("vorbis", "ogg", with_comments(oggvorbis.OggVorbis)),
    "Ogg Opus": ("libopus", "ogg", with_comments(oggopus.OggOpus)),
    "MP4": ("aac", "ipod", with_atoms),
    "WAV": ("pcm_s16le", "wav", with_wave_id3),
}


@pytest.mark.parametrize("ask", [probe, probe_isolated])
@pytest.mark.parametrize("kind", KINDS)
def test_tags_are_read_from_every_container(tmp_path, music, write_song, kind, ask):
    codec, container, write_tags = KINDS[kind]
    rate = 48_000 if codec == "libopus" else 44_100
    path = write_song(tmp_path / "song", music(48_000), codec=codec, container=container, rate=rate)
    write_tags(path)
    expected = dict(TAGS)
    if kind == "ID3v2.3 before an MP3":
        expected["date"] = "2026-11-27"
    assert ask(path, Limits()).tags == expected


def test_a_file_without_tags_has_none(tmp_path, music, write_song):
    assert probe(write_song(tmp_path / "song", music(9000), codec="libmp3lame", container="mp3"), Limits()).tags == {}


def test_id3v1_alone_is_read(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(9000), codec="libmp3lame", container="mp3")
    with path.open("ab") as file:
        file.write(b"TAG" + b"Old title".ljust(30, b"\0") + b"Old artist".ljust(30, b"\0") + bytes(65))
    found = probe(path, Limits()).tags
    assert (found["title"], found["artist"]) == ("Old title", "Old artist")


def test_hostile_tags_are_short_lines(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(9000), codec="libmp3lame", container="mp3")
    tags = {"title": "a\r\nX: y\u202e" + "z" * 100_000, "artist": "\x1b[2J", "album": "\u2066\u2069 \n"}
    found = id3.ID3()
    for frame in id3_frames(tags):
        found.add(frame)
    found.save(path)
    read = probe_isolated(path, Limits()).tags
    assert read["title"].startswith("a X: yzz") and len(read["title"]) == 200
    assert read["artist"] == "[2J" and "album" not in read


@pytest.mark.parametrize("size", [1, 5000])
def test_damaged_tags_fail_no_song(tmp_path, music, write_song, size):
    path = write_song(tmp_path / "song", music(9000), codec="libmp3lame", container="mp3")
    song = path.read_bytes()
    path.write_bytes(b"ID3\x04\0\0" + bytes([0, 0, size >> 7, size & 127]) + os.urandom(size) + song)
    assert probe_isolated(path, Limits()).codec == "mp3"


def test_a_tag_beyond_the_probe_buffer_is_read(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(9000), codec="libmp3lame", container="mp3")
    with_id3(path)
    file = mutagen.File(path)
    file.tags.add(id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=os.urandom(6_000_000)))
    file.save()
    assert probe_isolated(path, Limits()).tags["title"] == TAGS["title"]


def test_a_cover_larger_than_the_limit_is_not_read_but_the_song_is(tmp_path, music, write_song, monkeypatch):
    monkeypatch.setattr(metadata, "MAX_TAG_BYTES", 1000)
    path = write_song(tmp_path / "song", music(9000), codec="libmp3lame", container="mp3")
    with_id3(path)
    file = mutagen.File(path)
    file.tags.add(id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=bytes(2000)))
    file.save()
    assert probe(path, Limits()).tags == {}
