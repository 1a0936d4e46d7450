"""The table of formats, and the places that cannot read it: prose and the page's script agree with it."""

import json
import re
from pathlib import Path

import pytest

from msaas.audio.analysis.key import NAMES
from msaas.audio.encode.open_writer import open_writer
from msaas.errors import InvalidOption
from msaas.formats import (
    DEFAULT_BITRATE,
    DEFAULT_FORMAT,
    DEPTH_NAMES,
    FORMATS,
    MP3_BITRATES,
    MP3_BITRATES_AT,
    format_named,
    media_type_of,
)

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


def test_the_table_of_options_names_the_bit_rates_and_the_defaults():
    values, default = row_of("bitrate")
    found = [one for one in FORMATS.values() if one.bitrates]
    assert values.strip() == ", ".join(f"{one.name} {one.bitrates[0]} to {one.bitrates[-1]}" for one in found) + " kb/s"
    assert default.strip() == ", ".join(str(one.default_bitrate) for one in found)
    assert found[0].default_bitrate == DEFAULT_BITRATE


def test_the_page_offers_each_format_and_only_bit_rates_and_depths_that_exist():
    script = (ROOT / "src/msaas/web/static/js/home/options.js").read_text()
    choices = re.findall(r'^  \["((?:mp3|flac|wav|m4a|opus|stems\.m4a)[\w ]*)", "(.*)"\],$', script, re.MULTILINE)
    assert [*dict.fromkeys(value.split()[0] for value, _ in choices)] == list(FORMATS)
    assert choices[0][0] == f"{DEFAULT_FORMAT} {DEFAULT_BITRATE}"
    for value, label in choices:
        name, *detail = value.split()
        one = FORMATS[name]
        if one.bitrates:
            assert int(detail[0]) in one.bitrates and f"{detail[0]} kb/s" in label
        else:
            depth = one.depth(detail[0] if detail else None)
            assert depth in one.depths and DEPTH_NAMES[depth] in label


def test_the_page_spells_the_keys_as_the_service_does():
    script = (ROOT / "src/msaas/web/static/js/song/measured.js").read_text()
    (tonics,) = re.findall(r"^const TONICS = (.*);$", script, re.MULTILINE)
    assert tuple(json.loads(tonics)) == NAMES


@pytest.mark.parametrize("one", FORMATS.values(), ids=lambda one: one.name)
def test_each_format_has_a_writer_that_keeps_what_the_table_says(one, tmp_path):
    writer = open_writer(
        tmp_path / f"a{one.suffix}",
        one.name,
        sample_rate=one.rates[-1] if one.name == "opus" else 44_100,
        channels=2,
        total_samples=9,
    )
    writer.abort()
    assert writer.needs_gain == one.needs_gain()
    assert media_type_of(f"x-vocals.{one.name}") == one.media_type


def test_the_bit_rates_offered_are_those_of_the_models_sample_rate():
    assert MP3_BITRATES_AT[44_100] == MP3_BITRATES


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(InvalidOption, match=r"'ogg'.*mp3, flac, wav"):
        format_named("ogg")
