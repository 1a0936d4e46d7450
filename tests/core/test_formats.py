"""The table of formats, and the places that cannot read it: prose and the page's script agree with it."""

import re
from pathlib import Path

import pytest

from msaas.audio.encode.mp3 import BITRATES_KBPS
from msaas.audio.encode.open_writer import open_writer
from msaas.errors import InvalidOption
from msaas.formats import DEFAULT_BITRATE, DEFAULT_FORMAT, FORMATS, MP3_BITRATES, format_named, media_type_of

ROOT = Path(__file__).parents[2]


def row_of(option):
    """Values and default in the table of options, wherever it stands."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if found := re.search(rf"^\| `{option}` \|(.*)\|(.*)\|$", page.read_text(), re.MULTILINE):
            return found[1], found[2]
    raise AssertionError(f"no table of options has a row `{option}`")


def test_the_table_of_options_names_each_format_with_its_quality():
    values, default = row_of("format")
    named = [f"`{one.name}`" + (f" ({one.quality})" if one.quality else "") for one in FORMATS.values()]
    assert values.strip() == ", ".join(named)
    assert default.strip() == f"`{DEFAULT_FORMAT}`"


def test_the_table_of_options_names_the_bit_rates_and_the_default():
    values, default = row_of("bitrate")
    assert f"{MP3_BITRATES[0]} to {MP3_BITRATES[-1]} kb/s" in values
    assert default.strip().strip("`") == str(DEFAULT_BITRATE)


def test_the_page_offers_each_format_and_only_bit_rates_that_exist():
    script = (ROOT / "src/msaas/web/static/js/options.js").read_text()
    choices = [value.split() for value in re.findall(r'^  \["([\w ]+)", ".*"\],$', script, re.MULTILINE)]
    assert [*dict.fromkeys(name for name, *_ in choices)] == list(FORMATS)
    assert choices[0] == [DEFAULT_FORMAT, str(DEFAULT_BITRATE)]
    for name, *bitrate in choices:
        assert {int(rate) for rate in bitrate} <= set(FORMATS[name].bitrates)
    for one in FORMATS.values():
        assert one.bits is None or f"{one.name.upper()}, {one.quality}" in script


@pytest.mark.parametrize("one", FORMATS.values(), ids=lambda one: one.name)
def test_each_format_has_a_writer_that_keeps_what_the_table_says(one, tmp_path):
    writer = open_writer(tmp_path / f"a{one.suffix}", one.name, sample_rate=44_100, channels=2, total_samples=9)
    writer.abort()
    assert writer.needs_gain == one.needs_gain
    assert media_type_of(f"x-vocals.{one.name}") == one.media_type


def test_the_bit_rates_offered_are_those_of_the_models_sample_rate():
    assert BITRATES_KBPS[44_100] == MP3_BITRATES


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(InvalidOption, match=r"'ogg'.*mp3, flac, wav"):
        format_named("ogg")
