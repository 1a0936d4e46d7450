"""Tags and covers in stems, read by another library; the samples around them stay as they are."""

from __future__ import annotations

import base64
import io

import mutagen
import numpy as np
import pytest
from mutagen import id3
from mutagen.flac import Picture
from PIL import Image

from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.tagging.picture import write_picture
from msaas.audio.encode.wav import WavWriter
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.tags import tags_isolated
from msaas.audio.source.metadata import song_tags
from msaas.audio.tags import MAX_COVER_BYTES, Cover, SongTags, StemTags, stem_tags

TEXTS = {"title": "Größe 歌", "artist": "MSaaS", "album": "Samples", "track": "2/3", "date": "2026-11-27"}
FORMATS = ("mp3", "flac", "wav", "m4a", "opus")


@pytest.fixture(autouse=True, scope="module")
def _no_helper_left():
    yield
    launcher.stop()


def picture(kind="JPEG", side=64):
    file = io.BytesIO()
    Image.effect_noise((side, side), 80).save(file, kind)
    return file.getvalue()


JPEG, PNG = picture(), picture("PNG")


def made(data):
    cover = Cover.of(data)
    assert cover
    return cover


def write(path, samples, format_, tags, **options):
    rate = 48_000 if format_ == "opus" else 44_100
    with open_writer(
        path, format_, sample_rate=rate, channels=samples.shape[0], total_samples=samples.shape[1], tags=tags
    ) as writer:
        writer.write(samples)
    return path


def read(path):
    """The texts, the cover and its type, by mutagen."""
    file = mutagen.File(path)
    if path.suffix == ".m4a":
        atoms = dict(
            zip((*TEXTS, "comment"), ("\xa9nam", "\xa9ART", "\xa9alb", "trkn", "\xa9day", "\xa9cmt"), strict=True)
        )
        texts = {name: file[atom][0] for name, atom in atoms.items() if atom in file}
        kinds = {13: "image/jpeg", 14: "image/png"}
        texts |= {"track": "/".join(map(str, texts["track"]))} if "track" in texts else {}
        return texts, [(bytes(one), kinds[one.imageformat], 3) for one in file.get("covr", ())]
    if path.suffix in (".flac", ".opus"):
        names = {"track": "tracknumber", "comment": "description"}
        texts = {name: file[names.get(name, name)][0] for name in (*TEXTS, "comment") if names.get(name, name) in file}
        inside = [Picture(base64.b64decode(text)) for text in file.get("metadata_block_picture", ())]
        pictures = inside if path.suffix == ".opus" else file.pictures
        return texts, [(one.data, one.mime, one.type) for one in pictures]
    frames = {
        "title": "TIT2",
        "artist": "TPE1",
        "album": "TALB",
        "track": "TRCK",
        "date": "TDRC",
        "comment": "COMM::eng",
    }
    texts = {name: str(file.tags[frame].text[0]) for name, frame in frames.items() if frame in file.tags}
    return texts, [(one.data, one.mime, one.type) for one in file.tags.getall("APIC")]


@pytest.mark.parametrize("cover", [None, JPEG, PNG], ids=["no cover", "jpeg", "png"])
@pytest.mark.parametrize("format_", FORMATS)
def test_another_library_reads_what_was_written(tmp_path, music, format_, cover):
    tags = stem_tags(SongTags(TEXTS, cover and made(cover)), "no_vocals", "htdemucs")
    texts, covers = read(write(tmp_path / f"a.{format_}", music(5_000), format_, tags))
    assert texts == TEXTS | {
        "title": "Größe 歌 (Instrumental)",
        "comment": "separated by MSaaS with htdemucs",
    }
    kind = "image/png" if cover == PNG else "image/jpeg"
    assert covers == ([(cover, kind, 3)] if cover else [])


@pytest.mark.parametrize("n", [1, 47, 12 * 1152 + 46, 20_001])
@pytest.mark.parametrize("format_", FORMATS)
def test_the_samples_are_those_of_a_file_without_tags(tmp_path, music, both_hear, format_, n):
    samples = music(n)
    plain = write(tmp_path / f"plain.{format_}", samples, format_, None)
    tags = stem_tags(SongTags(TEXTS, made(JPEG)), "vocals", "htdemucs")
    tagged = write(tmp_path / f"tagged.{format_}", samples, format_, tags)
    for hear in both_hear[:1] if format_ == "m4a" else both_hear:
        heard = hear(tagged)
        assert heard.shape == samples.shape or format_ == "m4a"
        assert np.array_equal(heard, hear(plain))


@pytest.mark.parametrize("format_", FORMATS)
def test_equal_stems_are_equal_files(tmp_path, music, format_):
    tags = stem_tags(SongTags(TEXTS, made(PNG)), "drums", "htdemucs")
    first, second = (write(tmp_path / f"{name}.{format_}", music(3_000), format_, tags) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_song_without_tags_gives_a_stem_with_its_own_name(tmp_path, music):
    tags = stem_tags(SongTags(), "vocals", "htdemucs_mini")
    for format_ in FORMATS:
        texts, covers = read(write(tmp_path / f"a.{format_}", music(500), format_, tags))
        assert (texts, covers) == ({"title": "Vocals", "comment": "separated by MSaaS with htdemucs_mini"}, [])


@pytest.mark.parametrize(("date", "read_as"), [("1999", "1999"), ("1999-05", "1999"), ("soon", None)])
def test_a_date_is_written_as_far_as_id3_has_it(tmp_path, music, date, read_as):
    texts, _ = read(write(tmp_path / "a.mp3", music(500), "mp3", StemTags({"title": "x", "date": date})))
    assert texts.get("date") == read_as


def test_rf64_has_tags_too(tmp_path, music, both_hear):
    samples, tags = music(1_000), stem_tags(SongTags(TEXTS), "bass", "m")
    path = tmp_path / "a.wav"
    with WavWriter(
        path, sample_rate=44_100, channels=2, total_samples=1_000, riff_limit_bytes=1_000, tags=tags
    ) as writer:
        writer.write(samples)
    data = path.read_bytes()
    assert data[:4] == b"RF64" and int.from_bytes(data[20:28], "little") == len(data) - 8
    for hear in both_hear:
        assert np.array_equal(hear(path), samples)


def test_a_cover_is_a_small_jpeg_or_png_and_nothing_else():
    assert Cover.of(b"<svg onload=alert(1)>") is None
    assert Cover.of(b"") is None
    assert Cover.of(JPEG + bytes(MAX_COVER_BYTES)) is None


def test_a_flac_without_the_right_padding_is_refused(tmp_path, music):
    path = write(tmp_path / "a.flac", music(500), "flac", None)
    with pytest.raises(ValueError, match="padding"):
        write_picture(path, bytes(77))


# --- from a song


def tagged_song(path, cover=JPEG):
    found = id3.ID3()
    found.add(id3.TIT2(encoding=3, text="T"))
    found.add(id3.APIC(encoding=3, mime="image/png", type=4, desc="back", data=PNG))
    found.add(id3.APIC(encoding=3, mime="image/jpeg", type=3, desc="front", data=cover))
    found.save(path)
    return path


@pytest.mark.parametrize("ask", [song_tags, tags_isolated])
def test_the_front_cover_is_found(tmp_path, music, write_song, ask):
    path = write_song(tmp_path / "song", music(9_000), codec="libmp3lame", container="mp3")
    assert ask(tagged_song(path)) == SongTags({"title": "T"}, made(JPEG))


@pytest.mark.parametrize("format_", FORMATS)
def test_what_a_stem_has_is_found_when_it_is_sent_as_a_song(tmp_path, music, format_):
    tags = stem_tags(SongTags(TEXTS, made(PNG)), "vocals", "htdemucs")
    path = write(tmp_path / "song", music(9_000), format_, tags)
    assert tags_isolated(path) == SongTags(TEXTS | {"title": "Größe 歌 (Vocals)"}, made(PNG))


def test_a_cover_that_is_no_picture_or_too_large_is_left_out(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(9_000), codec="libmp3lame", container="mp3")
    for cover in (b"MZ" + bytes(100), JPEG + bytes(MAX_COVER_BYTES)):
        assert tags_isolated(tagged_song(path, cover)).cover in (None, made(PNG))


def test_a_file_whose_tags_cannot_be_read_has_none(tmp_path):
    path = tmp_path / "song"
    path.write_bytes(b"Dear Sir or Madam, " * 100)
    assert tags_isolated(path) == SongTags()
