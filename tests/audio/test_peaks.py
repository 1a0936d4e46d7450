"""Outlines for drawing, against the same thing worked out in one go."""

import base64
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.audio.waveform import POINTS, Waveform, Waveforms
from tests.support.audio.sounds import tune


def kinds(waveform):
    return {kind: np.frombuffer(base64.b64decode(text), np.uint8) for kind, text in waveform.to_json().items()}


def at_once(samples, count):
    """[peak], [rms] of each stretch, 0 to 255."""
    edges = np.arange(count + 1) * samples.shape[1] // count
    stretches = [samples[:, a:b] for a, b in itertools.pairwise(edges)]
    peak = [np.abs(part).max() for part in stretches]
    rms = [np.sqrt(np.mean(np.square(part, dtype=np.float64))) for part in stretches]
    return tuple(np.rint(np.minimum(kind, 1) * 255) for kind in (peak, rms))


@given(st.integers(1, 9000), st.lists(st.integers(1, 3000), max_size=12), st.integers(0, 99))
def test_blocks_of_any_size_give_the_outline_of_the_whole(total, cuts, seed):
    samples = np.random.default_rng(seed).normal(0, 0.4, (2, total)).astype(np.float32)
    waveform = Waveform(total)
    for block in np.split(samples, np.unique(np.minimum(np.cumsum([0, *cuts]), total)), axis=1):
        waveform.add(block)
    found = kinds(waveform)
    peak, rms = at_once(samples, min(total, POINTS))
    assert waveform.done_samples == total
    assert np.abs(found["peak"] - peak).max() <= 1 and np.abs(found["rms"] - rms).max() <= 1


def test_what_is_not_made_yet_is_flat():
    waveform = Waveform(100_000)
    waveform.add(tune(1)[:, :50_000])
    peak = kinds(waveform)["peak"]
    assert peak[:800].min() > 0 and not peak[900:].any()


def test_a_song_takes_some_tens_of_kilobytes_however_long_it_is():
    stems = [f"stem{n}" for n in range(6)]
    waveforms = Waveforms(stems, total_samples=4 * 3600 * 44_100, sample_rate=44_100)
    assert len(json.dumps(waveforms.to_json())) < 40_000


def test_the_song_is_as_far_as_its_slowest_stem():
    waveforms = Waveforms(["drums", "bass"], total_samples=1000, sample_rate=44_100)
    waveforms.add("drums", np.zeros((2, 1000), np.float32))
    assert (waveforms.done_samples, waveforms.complete) == (0, False)
    waveforms.add("bass", np.zeros((2, 1000), np.float32))
    assert waveforms.complete


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 7.0])
def test_samples_that_are_no_sound_break_no_drawing(value):
    waveform = Waveform(4)
    waveform.add(np.full((2, 4), value, np.float32))
    assert set(kinds(waveform)["peak"]) <= {0, 255}
