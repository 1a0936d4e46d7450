"""The streaming figures are those of the whole track at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msaas.audio.decode.decoder import TrackStats, measure


@dataclass
class Track:
    samples: np.ndarray
    step: int

    def blocks(self):
        for start in range(0, self.samples.shape[1], self.step):
            yield self.samples[:, start : start + self.step]


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 3_000), step=st.integers(1, 1_000), offset=st.floats(-10, 10), seed=st.integers(0, 99))
def test_mean_and_deviation_are_those_of_the_whole(n, step, offset, seed):
    samples = (np.random.default_rng(seed).standard_normal((2, n)) + offset).astype(np.float32)
    stats = measure(Track(samples, step))
    whole = samples.astype(np.float64).mean(axis=0)
    assert stats.total_samples == n
    assert stats.mean == pytest.approx(whole.mean(), rel=1e-9, abs=1e-12)
    assert stats.std == pytest.approx(whole.std(ddof=1), rel=1e-9, abs=1e-12)


def test_large_offset_does_not_swallow_a_small_signal():
    samples = (1_000 + 0.001 * np.random.default_rng(0).standard_normal((2, 100_000))).astype(np.float32)
    expected = samples.astype(np.float64).mean(axis=0).std(ddof=1)
    assert measure(Track(samples, 777)).std == pytest.approx(expected, rel=1e-9)


def test_track_of_one_sample_has_no_deviation():
    assert measure(Track(np.full((2, 1), 0.25, np.float32), 10)) == TrackStats(1, 0.25, 0.0, peak=0.25)


def test_figures_are_those_demucs_computes():
    torch = pytest.importorskip("torch")
    samples = np.random.default_rng(0).standard_normal((2, 50_000)).astype(np.float32)
    reference = torch.from_numpy(samples).mean(0)
    stats = measure(Track(samples, 4_096))
    assert stats.mean == pytest.approx(float(reference.mean()), abs=1e-7)
    assert stats.std == pytest.approx(float(reference.std()), rel=1e-6)
