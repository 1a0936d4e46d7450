"""Names of songs: what any text from outside becomes before it is shown, stored or saved under."""

import os
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msaas.song_names import (
    MAX_NAME_BYTES,
    MAX_TAG_CHARS,
    ascii_name,
    clean_tags,
    file_name,
    one_line,
    safe_name,
    song_name,
    stem_file_name,
    stem_label,
)

HOSTILE = (
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "C:\\Users\\anna\\song.mp3",
    "a\r\nSet-Cookie: b=c",
    "\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "x" * 10_000,
    "é" * 10_000,
    "\U0001f3b8" * 10_000,
    "a" + "\u0301" * 10_000,
    'say "hi" <b>',
    "a|b?c*d:e",
    "CON",
    "nul.txt",
    "Lpt1 .mp3",
    "COM¹",
    ".hidden",
    "-rf",
    "song. . .",
    "\ud800",
    "\ufdd0\uffff",
    "\u200d",
    "",
    "...",
    "/",
    "℀/℀",
    "．．／x",
    "100%41",
)
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)


def is_harmless(name: str) -> bool:
    return (
        not set(name) & set('<>:"/\\|?*')
        and all(unicodedata.category(c) not in ("Cc", "Cs", "Co", "Zl", "Zp") for c in name)
        and all(unicodedata.category(c) != "Cf" or c in "\u200c\u200d" for c in name)
        and not name.startswith((".", " ", "-"))
        and not name.endswith((".", " "))
        and not RESERVED.fullmatch(name)
        and len(name.encode()) <= MAX_NAME_BYTES
    )


@given(st.text(st.characters(exclude_categories=()), max_size=200))
@example("com\u00b9")
def test_any_text_becomes_a_harmless_name_and_stays_it(text):
    name = safe_name(text)
    assert is_harmless(name)
    assert safe_name(name) == name


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_texts_become_names_that_a_file_system_takes(tmp_path, text):
    for name in (safe_name(text), song_name({}, text), song_name({"artist": text, "title": text})):
        assert is_harmless(name)
        if name:
            saved = stem_file_name(name, "no_" + "x" * 29, "flac")
            assert len(os.fsencode(saved)) <= 255
            (tmp_path / saved).write_bytes(b"")
            assert (tmp_path / saved).parent == tmp_path


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_for_old_programs_a_name_is_ascii_and_just_as_harmless(text):
    plain = ascii_name(stem_file_name(safe_name(text) or "x", "vocals", "mp3"))
    assert plain.isascii() and plain.isprintable() and plain.endswith("(Vocals).mp3")
    assert not set(plain) & set('<>:"/\\|?*') and not plain.startswith((".", "-"))


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_a_line_is_one_line_and_short(text):
    line = one_line(text)
    assert len(line) <= MAX_TAG_CHARS and "\n" not in line and line == line.strip()
    line.encode()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("AC/DC", "AC-DC"),
        ('7" Single', "7' Single"),
        ("What?", "What_"),
        ("Motörhead", "Motörhead"),
        ("Cafe\u0301", "Café"),
        ("日本の歌", "日本の歌"),
        ("👩\u200d🎤 live", "👩\u200d🎤 live"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("  much   room\t", "much room"),
        ("NUL", "_NUL"),
        ("null", "null"),
        ("...And Justice for All", "And Justice for All"),
    ],
)
def test_names_stay_as_people_write_them_as_far_as_file_systems_allow(text, name):
    assert safe_name(text) == name


@pytest.mark.parametrize(
    ("tags", "file", "name"),
    [
        ({"artist": "MSaaS", "title": "Harbour Lights"}, "07 track.mp3", "MSaaS - Harbour Lights"),
        ({"title": "Harbour Lights"}, "harbour (mix 7).wav", "harbour (mix 7)"),
        ({"artist": "MSaaS"}, "harbour.flac", "harbour"),
        ({"title": "Harbour Lights"}, "", "Harbour Lights"),
        ({}, "C:\\music\\Mr. Sandman.mp3", "Mr. Sandman"),
        ({}, "no extension", "no extension"),
        ({}, "Op. 27", "Op. 27"),
        ({}, ".mp3", "mp3"),
        ({}, "", ""),
    ],
)
def test_a_song_is_called_by_artist_and_title_else_by_its_file_else_by_its_title(tags, file, name):
    assert song_name(tags, file) == name


def test_a_long_artist_leaves_room_for_the_title():
    name = song_name({"artist": "x" * 300, "title": "y" * 300})
    assert name.count("x") >= 40 and name.count("y") >= 40


def test_stems_have_names_for_people():
    assert [stem_label(stem) for stem in ("vocals", "no_vocals", "no_drums", "lead_vocals", "drums.kick")] == [
        *("Vocals", "Instrumental", "No drums", "Lead vocals", "Drums, kick")
    ]
    assert stem_file_name("A - B", "no_vocals", "flac") == "A - B (Instrumental).flac"
    assert stem_file_name("A - B", "mix", "stems.m4a") == "A - B.stem.m4a"
    assert stem_file_name("", "drums.kick", "mp3") == "drums.kick.mp3"
    assert stem_file_name("", "mix", "stems.m4a") == "mix.stem.m4a"


@pytest.mark.parametrize("found", [None, 7, "title", ["title"], {"title": 7}, {"title": " \n"}, {"other": "x"}])
def test_what_is_not_a_tag_is_left_out(found):
    assert clean_tags(found) == {}


def test_the_record_keeps_a_files_name_without_its_folders():
    assert file_name("C:\\music\\sub/song\n.mp3") == "song .mp3"
