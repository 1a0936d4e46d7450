"""Mixes of stems: samples, lengths, formats, levels beyond full scale."""

from __future__ import annotations

import math

import mutagen
import numpy as np
import pytest

from msaas.audio.mixing.pan import placed
from tests.mixing.conftest import RATE, tones

EXACT = {"format": "wav"}


def decibels(sound) -> float:
    return 20 * math.log10(max(float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))), 1e-12))


def differ(found, expected) -> float:
    """The level of the difference beside that of the expected sound, in dB."""
    assert found.shape == expected.shape
    return decibels(found - expected) - decibels(expected)


def test_stems_as_they_are_add_up_to_the_sample(studio, make_song):
    song = make_song()
    view = studio.mix(song, **EXACT)
    sound, rate = studio.heard(view)
    assert rate == RATE
    assert differ(sound, song.stems["bass"] + song.stems["vocals"]) < -120
    assert view["mix"]["of"] == song.songhash
    assert view["mix"]["gain_db"] == 0
    assert view["duration_seconds"] == pytest.approx(song.samples / RATE)


def test_gain_pan_mute_and_solo_are_those_of_the_page(studio, make_song):
    song = make_song("bass", "drums", "vocals")
    levels = {
        "bass": {"gain_db": -6, "pan": -0.35},
        "drums": {"mute": True},
        "vocals": {"gain_db": 3.5, "pan": 1},
    }
    sound, _ = studio.heard(studio.mix(song, levels=levels, **EXACT))
    left, right = song.stems["bass"] * np.float32(10 ** (-6 / 20))
    angle = (-0.35 + 1) * math.pi / 2
    loud = song.stems["vocals"] * np.float32(10 ** (3.5 / 20))
    expected = np.stack([left + right * math.cos(angle), right * math.sin(angle) + loud[1] + loud[0]])
    assert differ(sound, expected) < -120
    solo, _ = studio.heard(studio.mix(song, levels={"drums": {"solo": True}}, **EXACT))
    assert differ(solo, song.stems["drums"]) < -120


@pytest.mark.parametrize("pan", [-1.0, -0.4, 0.0, 0.7, 1.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_pan_keeps_the_power_of_one_channel(channels, pan):
    block = np.zeros((channels, 4), np.float32)
    block[0] = 0.5
    assert np.square(placed(block, 1.0, pan)).sum(axis=0) == pytest.approx(0.25)


def test_a_mono_stem_in_the_middle_has_three_decibels_less_in_each_channel():
    block = tones(1, 100, channels=1)
    assert placed(block, 1.0, 0.0) == pytest.approx(np.repeat(block, 2, axis=0) * math.sqrt(0.5), abs=1e-6)


def test_mono_stems_are_placed_by_the_rule_of_mono(studio, make_song):
    song = make_song(channels=1)
    sound, _ = studio.heard(studio.mix(song, levels={"bass": {"pan": -1}, "vocals": {"pan": 1}}, **EXACT))
    assert differ(sound, np.concatenate([song.stems["bass"], song.stems["vocals"]])) < -120


@pytest.mark.parametrize(
    ("asked", "samples", "rate"),
    [
        ({"format": "mp3"}, 30_011, RATE),
        ({"format": "flac"}, 30_011, RATE),
        ({"format": "flac", "bit_depth": "16"}, 30_011, RATE),
        ({"format": "wav", "bit_depth": "24"}, 30_011, RATE),
        ({"format": "opus"}, math.ceil(30_011 * 48 / 44.1), 48_000),
        ({"format": "wav", "sample_rate": 48000}, math.ceil(30_011 * 48 / 44.1), 48_000),
        ({"format": "wav", "start": 0.1, "end": 0.25}, 6_615, RATE),
        ({"format": "wav", "start": 0.5}, 30_011 - 22_050, RATE),
    ],
)
def test_lengths_are_exact_in_each_format(studio, make_song, asked, samples, rate):
    song = make_song()
    view = studio.mix(song, **asked)
    sound, found_rate = studio.heard(view)
    assert (sound.shape, found_rate) == ((2, samples), rate)
    if rate == RATE:
        first = round((asked.get("start") or 0) * RATE)
        expected = (song.stems["bass"] + song.stems["vocals"])[:, first : first + samples]
        assert differ(sound, expected) < (-60 if asked["format"] != "mp3" else -8)  # noise is all that MP3 leaves out


def test_one_channel_is_the_mean_of_both(studio, make_song):
    song = make_song()
    sound, _ = studio.heard(studio.mix(song, mono=True, **EXACT))
    assert differ(sound, (song.stems["bass"] + song.stems["vocals"]).mean(axis=0, keepdims=True)) < -120


def test_the_songs_own_rate_gives_the_songs_own_samples(studio, make_song):
    song = make_song(own_rate=8000, samples=30_011, part_samples=5444)  # ceil(30011 · 8000 / 44100) = 5445
    sound, rate = studio.heard(studio.mix(song, sample_rate="source", **EXACT))
    assert (sound.shape, rate) == ((2, 5444), 8000)


def test_an_m4a_stem_that_decodes_to_more_samples_is_cut(studio, make_song):
    song = make_song(format="m4a")
    assert studio.heard(studio.mix(song, **EXACT))[0].shape == (2, song.samples)


@pytest.mark.parametrize(
    ("asked", "ceiling"),
    [({"format": "flac"}, 0.0), ({"format": "wav", "bit_depth": "16"}, 0.0), ({"format": "mp3"}, -1.0)],
)
def test_a_mix_that_would_clip_is_turned_down_as_a_whole_and_says_so(studio, make_song, asked, ceiling):
    song = make_song(level=0.9)
    view = studio.mix(song, **asked)
    told = view["mix"]
    assert told["true_peak_dbtp"] > 3
    assert told["gain_db"] == pytest.approx(ceiling - told["true_peak_dbtp"], abs=0.001)
    assert [one["code"] for one in view["warnings"]] == ["turned_down"]
    sound, _ = studio.heard(view)
    assert np.abs(sound).max() <= 1
    if asked["format"] != "mp3":
        expected = (song.stems["bass"] + song.stems["vocals"]) * 10 ** (told["gain_db"] / 20)
        assert differ(sound, expected) < -80


def test_float_samples_keep_levels_beyond_full_scale(studio, make_song):
    song = make_song(level=0.9)
    view = studio.mix(song, **EXACT)
    assert (view["mix"]["gain_db"], view["warnings"]) == (0, [])
    assert view["mix"]["true_peak_dbtp"] > 3
    assert differ(studio.heard(view)[0], song.stems["bass"] + song.stems["vocals"]) < -120


def test_silence_is_not_measured(studio, make_song):
    song = make_song(level=0.0)
    assert studio.mix(song, format="mp3")["mix"]["true_peak_dbtp"] is None


def test_a_mix_is_named_and_tagged_as_stems_are(studio, make_song, queue):
    song = make_song()
    upload = '{"tags": {"artist": "Ann", "title": "Rain"}, "filename": "x.wav", "sample_rate": 8000}'
    queue.redis.hset(f"job:{song.songhash}", "upload", upload)
    view = studio.mix(song, format="mp3")
    assert view["name"] == "Ann - Rain"
    answer = studio.client.head(view["stems"]["mix"])
    assert 'filename="Ann - Rain (Mix).mp3"' in answer.headers["Content-Disposition"]
    tags = mutagen.File(studio.download(view), easy=True)
    assert (tags["title"], tags["artist"]) == (["Rain (Mix)"], ["Ann"])
    named = studio.client.post(f"{song.path}?name=Other", json={"format": "mp3"})
    assert named.status_code == 200
    assert 'filename="Other (Mix).mp3"' in studio.client.head(named.json["stems"]["mix"]).headers["Content-Disposition"]
