"""The mix of a link, as the page writes it: what is accepted, and what is said of the rest."""

import re
from pathlib import Path

import pytest

from msaas.errors import InvalidOption
from msaas.mixing.page_text import GAIN, PITCH, TEMPO, check
from tests.support.api import problem

STEMS = ("drums", "bass", "other", "lead, backing & 'ö'")
ENCODED = "lead%2C%20backing%20%26%20'%C3%B6'"  # by encodeURIComponent
PAGE = Path(__file__).parents[2] / "src/msaas/web/static/js/player"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mix=drums:-6:-30:m",
        f"mix={ENCODED}:-48:100:ms,bass:6:0:s,other:0:-100:,drums:-0.1:0:m",
        "mix=drums:0:0:m,bass:0:0:m,other:0:0:m",
        "loop=0-0.00001",
        "loop=12.5-20",
        "loop=29.99999-31&mix=drums:1:1:",  # in any order; the page cuts a loop at the song's end
        f"tempo=50&pitch=-12&order={ENCODED},bass",
        "tempo=150&pitch=0.25&order=other",
    ],
)
def test_what_the_page_writes_is_accepted(text):
    check(text, STEMS, 30.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 2000, "is none of mix=…, loop=…"),
        ("?mix=drums:0:0:m", "is none of"),
        ("mix", "is none of"),
        ("mix=drums:0:0:m&", "'' is none of"),
        ("tempo=75&tempo=80", "tempo= is there twice"),
        ("mix=", "'' is not <stem>:<decibels>"),
        ("mix=drums", "'drums' is not <stem>:<decibels>"),
        ("mix=drums:0:0:x", "is not <stem>"),
        ("mix=drums:0:0:sm", "is not <stem>"),
        ("mix=drums:1e3:0:", "is not <stem>"),
        ("mix=drums:٣:0:", "is not <stem>"),
        ("mix=drums:0:0:m,", "'' is not <stem>"),
        ("mix=drums:25:0:", "mix: drums:25 is not a number of decibels from -48 to 6"),
        ("mix=drums:0:101:", "mix: drums:0:101 is not a number of percent from -100 to 100"),
        ("mix=vocals:0:0:m", "mix= names 'vocals'; the stems of this song are drums, bass"),
        ("mix=drums:0:0:m,drums:0:0:s", "names a stem twice"),
        ("mix=%ff:0:0:m", "not percent-encoded UTF-8"),
        ("loop=20-12.5", "does not end after it begins"),
        ("loop=-1-5", "begins before the song"),
        ("loop=5", "is not two numbers"),
        ("loop=30-31", "begins after the song, which ends after 30.000000 seconds"),
        ("tempo=49.9", "tempo=49.9 is not a number of percent from 50 to 150"),
        ("tempo=nan", "is not a number"),
        ("pitch=12.1", "is not a number of semitones from -12 to 12"),
        ("order=drums,vocals", "order= names 'vocals'"),
        ("order=drums,drums", "names a stem twice"),
        ("order=", "order= names ''"),
    ],
)
def test_what_is_wrong_is_said(text, reason):
    with pytest.raises(InvalidOption, match=re.escape(reason)):
        check(text, STEMS, 30.0)


def test_a_loop_in_a_song_of_unknown_length_is_accepted():
    check("loop=5000-5001", STEMS)


def test_a_link_is_made_only_with_a_mix_of_its_song(client, make_song):
    path = f"/apiv1/jobs/{make_song('bass', 'vocals', samples=88_200, rate=44_100).songhash}/shares"
    good, bad = (client.post(path, json={"mix": f"mix=bass:-6:0:m&loop={loop}"}) for loop in ("1.9-3", "2-3"))
    assert (good.status_code, good.json["mix"]) == (201, "mix=bass:-6:0:m&loop=1.9-3")
    assert "loop=2-3 begins after the song, which ends after 2.0" in problem(bad, 422, "invalid_option")


def test_levels_have_the_pages_limits():
    text = (PAGE / "levels.js").read_text()
    found = dict(re.findall(r"const (SILENT_DB|LOUDEST_DB) = (-?\d+);", text))
    assert (float(found["SILENT_DB"]), float(found["LOUDEST_DB"])) == GAIN


def test_tempo_and_pitch_have_the_pages_limits():
    text = (PAGE / "tempo/ranges.js").read_text()
    found = {
        name: (float(least), float(most))
        for name, least, most in re.findall(r"(TEMPO|PITCH) = \{ least: (-?\d+), most: (-?\d+)", text)
    }
    assert found == {"TEMPO": TEMPO, "PITCH": PITCH}
