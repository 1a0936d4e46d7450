"""Loudness, tempo and key of sounds whose values are known."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from msaas.audio.analysis.key import NAMES, KeyMeter
from msaas.audio.analysis.loudness import LoudnessMeter
from msaas.audio.analysis.song import SongAnalyser
from msaas.audio.analysis.tempo import TempoMeter, fold_at

RATE = 44_100
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}


def in_blocks(meter, sound, size):
    for start in range(0, sound.shape[-1], size):
        meter.add(sound[..., start : start + size])
    return meter.result()


def noise(seconds, level=0.1, seed=0, rate=RATE):
    return (np.random.default_rng(seed).standard_normal((2, int(seconds * rate))) * level).astype(np.float32)


def clicks(bpm, seconds, first=0.25, rate=RATE):
    """A burst of noise on each beat."""
    sound = np.zeros(int(seconds * rate), np.float32)
    burst = noise(0.05, 0.5, rate=rate)[0] * np.exp(-np.arange(int(0.05 * rate)) / (0.01 * rate))
    for beat in np.arange(first, seconds - 0.1, 60 / bpm):
        start = int(beat * rate)
        sound[start : start + len(burst)] += burst
    return sound


def chords(tonic, mode, tuning=0.0):
    """I, IV, V, I and vi as triads of the scale: two seconds each."""
    scale, at = SCALES[mode], np.arange(2 * RATE) / RATE
    sound = []
    for degree in (0, 3, 4, 0, 5, 3, 4, 0):
        pitches = [48 + tonic + scale[(degree + third) % 7] + 12 * ((degree + third) // 7) for third in (0, 2, 4)]
        hertz = [440 * 2 ** ((pitch - 69 + tuning / 100) / 12) for pitch in pitches]
        sound.append(sum(np.sin(2 * np.pi * one * times * at) / times for one in hertz for times in (1, 2, 3)))
    return (np.concatenate(sound) * 0.1).astype(np.float32)


# --- loudness


@pytest.mark.parametrize("rate", [44_100, 48_000, 22_050])
def test_loudness_is_that_of_another_library(rate):
    sound = noise(12, rate=rate) * np.linspace(0.05, 1, 12 * rate, dtype=np.float32)
    found = in_blocks(LoudnessMeter(rate, 2), sound, 50_000)
    assert found.integrated == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(sound.T), abs=0.1)


def test_a_full_scale_sine_between_its_samples_peaks_above_them():
    at = np.arange(4 * RATE)
    sine = np.sin(np.pi / 2 * at + np.pi / 4) * np.clip(np.minimum(at, at[::-1]) / RATE, 0, 1)  # samples at ±0.707
    found = in_blocks(LoudnessMeter(RATE, 2), np.stack([sine, sine]).astype(np.float32), 1 << 16)
    assert found.true_peak == pytest.approx(0, abs=0.1)


def test_silence_has_no_loudness():
    assert in_blocks(LoudnessMeter(RATE, 2), np.zeros((2, 2 * RATE), np.float32), RATE) is None
    assert in_blocks(LoudnessMeter(RATE, 1), np.zeros((1, 100), np.float32), RATE) is None
    assert LoudnessMeter(RATE, 2).result() is None


# --- tempo


@pytest.mark.parametrize("bpm", [63, 72, 96.5, 120, 133])
@pytest.mark.parametrize("rate", [44_100, 32_000])
def test_the_tempo_of_clicks(bpm, rate):
    found = in_blocks(TempoMeter(rate), clicks(bpm, 30, rate=rate), 70_001)
    assert found.bpm == pytest.approx(bpm, rel=0.003)
    assert found.confidence > 0.5
    beat = 60 / bpm
    assert abs((found.first_beat - 0.25 + beat / 2) % beat - beat / 2) < 0.03


@pytest.mark.parametrize("first", [0.1, 0.31, 0.44])
def test_the_first_beat_lies_on_the_song_s_beats(first):
    found = in_blocks(TempoMeter(RATE), clicks(120, 40, first), 1 << 18)
    assert found.bpm == pytest.approx(120, rel=0.0005)
    assert found.first_beat == pytest.approx(first, abs=0.012)


def test_equal_onsets_on_and_off_the_beat_leave_the_beats_open():
    onsets = np.zeros((50, 40))
    onsets[:, [0, 20]] = [1, 0.9]
    assert not fold_at(onsets.ravel(), 40).is_clear
    onsets[:, 20] = 0.2
    assert fold_at(onsets.ravel(), 40).is_clear
    assert not fold_at(np.random.default_rng(1).random(2000), 40).is_clear  # no peak


def test_fast_beats_that_nothing_divides_count_in_half():
    assert in_blocks(TempoMeter(RATE), clicks(171, 30), 1 << 18).bpm == pytest.approx(85.5, rel=0.003)


def test_the_size_of_blocks_changes_nothing():
    sound = clicks(104, 20) + noise(20, 0.01, 3)[0]
    one, many = (in_blocks(TempoMeter(RATE), sound, size) for size in (len(sound), 1009))
    assert (one.bpm, one.first_beat) == pytest.approx((many.bpm, many.first_beat))
    assert in_blocks(KeyMeter(RATE), chords(2, "major"), 1 << 20) == in_blocks(KeyMeter(RATE), chords(2, "major"), 999)


@pytest.mark.parametrize(
    "sound",
    [np.zeros(20 * RATE, np.float32), noise(20)[0], clicks(120, 2), np.zeros(0, np.float32), chords(0, "major") * 0],
    ids=["silence", "noise", "two seconds", "nothing", "quiet"],
)
def test_what_has_no_beat_has_no_tempo(sound):
    assert in_blocks(TempoMeter(RATE), sound, 1 << 17) is None


# --- key


@pytest.mark.parametrize("mode", SCALES)
@pytest.mark.parametrize("tonic", range(12))
def test_every_key(tonic, mode):
    found = in_blocks(KeyMeter(RATE), chords(tonic, mode), 1 << 18)
    assert found.name == f"{NAMES[tonic]} {mode}"


@pytest.mark.parametrize("tuning", [-40, -10, 30])
def test_an_instrument_out_of_tune_has_the_same_key_and_says_by_how_much(tuning):
    found = in_blocks(KeyMeter(RATE), chords(9, "minor", tuning), 1 << 18)
    assert found.name == "A minor"
    assert found.tuning == pytest.approx(tuning, abs=10)


@pytest.mark.parametrize("sound", [np.zeros(10 * RATE, np.float32), noise(10)[0]], ids=["silence", "noise"])
def test_what_has_no_pitches_has_no_key(sound):
    assert in_blocks(KeyMeter(RATE), sound, 1 << 18) is None


# --- all of them


def test_a_song_is_measured_by_its_stems_where_it_has_them():
    drums, pitched = clicks(110, 16), chords(7, "major")[: 16 * RATE]
    voice = chords(6, "minor")[: 16 * RATE] * 3  # in another key
    stems = {"drums": np.stack([drums] * 2), "vocals": np.stack([voice] * 2)}
    analyser = SongAnalyser(RATE, 2)
    analyser.add(stems["drums"] + stems["vocals"] + pitched, stems)
    found = analyser.result()
    assert found["tempo"]["bpm"] == pytest.approx(110, rel=0.003)
    assert found["key"]["name"] == "G major"
    assert found["loudness"].keys() == {"integrated_lufs", "true_peak_dbtp"}


def test_a_fault_leaves_the_song_without_an_analysis():
    analyser = SongAnalyser(RATE, 2)
    analyser.add(noise(1), {"drums": noise(1)[:1, :-1]})  # not as long as the mixture
    analyser.add(noise(1), {})
    assert analyser.result() is None


def test_an_empty_song_leaves_everything_open():
    assert SongAnalyser(RATE, 2).result() == {"loudness": None, "tempo": None, "key": None}


def test_more_channels_than_two_have_no_loudness():
    analyser = SongAnalyser(RATE, 6)
    sound = np.stack([clicks(120, 8)] * 6)
    analyser.add(sound, {})
    found = analyser.result()
    assert found["loudness"] is None
    assert found["tempo"]["bpm"] == pytest.approx(120, rel=0.003)
