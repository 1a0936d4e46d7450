"""The two signal-to-distortion ratios, against what they are by definition."""

import math
from typing import Any

import numpy as np
import pytest

from msaas.evaluation import metrics
from msaas.evaluation.metrics import MissingMetric, frame_sdr, global_sdr, median, museval_metrics

RATE = 8000


def noise(seed: int, seconds: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, int(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("decibels", [-6.0, 0.0, 10.0, 35.0])
def test_the_global_ratio_is_that_of_the_energies(decibels):
    reference, error = noise(1), noise(2)
    error *= np.sqrt((reference**2).sum() / (error**2).sum()) / 10 ** (decibels / 20)
    assert global_sdr(reference, reference + error) == pytest.approx(decibels, abs=1e-3)


def test_a_silent_reference_has_no_ratio():
    assert math.isnan(global_sdr(np.zeros((2, 100), np.float32), noise(1)[:, :100]))


def test_half_the_level_is_six_decibels_and_a_perfect_estimate_is_bounded():
    reference = noise(1)
    assert global_sdr(reference, reference / 2) == pytest.approx(6.02, abs=0.01)
    assert 100 < global_sdr(reference, reference) < 200


def test_the_ratio_of_frames_is_musevals_with_its_usual_settings():
    references = [noise(1), noise(2)]
    estimates: list[Any] = [references[0] + 0.1 * noise(3), references[1] + 0.2 * references[0]]
    sdr, *_ = museval_metrics().bss_eval(
        np.stack([one.T for one in references]),
        np.stack([one.T for one in estimates]),
        compute_permutation=False,
        window=RATE,
        hop=RATE,
        framewise_filters=False,
        bsseval_sources_version=False,
    )
    assert frame_sdr(references, estimates, RATE) == pytest.approx([float(np.median(row)) for row in sdr])


@pytest.fixture
def anew():
    museval_metrics.cache_clear()
    yield
    museval_metrics.cache_clear()


@pytest.mark.usefixtures("anew")
def test_the_ratio_of_frames_needs_no_program_of_ffmpeg(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert frame_sdr([noise(1)], [noise(1) * np.float32(0.5)], RATE)[0] == pytest.approx(6.02, abs=0.1)


@pytest.mark.usefixtures("anew")
def test_without_museval_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(metrics, "find_spec", lambda _: None)
    with pytest.raises(MissingMetric, match="pip install"):
        frame_sdr([noise(1)], [noise(1)], RATE)


def test_both_ratios_agree_on_noise_of_equal_level():
    reference = noise(1)
    estimate = (reference + 0.1 * noise(3)).astype(np.float32)
    assert frame_sdr([reference], [estimate], RATE)[0] == pytest.approx(global_sdr(reference, estimate), abs=0.5)


def test_a_median_leaves_out_what_is_no_number():
    assert median([1.0, math.nan, 3.0]) == 2.0
    assert math.isnan(median([math.nan]))
