"""The resampler: exact in length, without delay, transparent to 20 kHz."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msaas.audio.decode.resample import Resampler


def resampled(samples, rate_in, rate_out, step=10_000):
    resampler = Resampler(rate_out, samples.shape[0])
    blocks = [
        out for at in range(0, samples.shape[1], step) for out in resampler.push(samples[:, at : at + step], rate_in)
    ]
    blocks += resampler.finish()
    return np.concatenate(blocks, axis=1)


def tone(frequency, rate, n):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / rate)).astype(np.float32)[np.newaxis]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.9])
def test_impulse_stays_at_its_place(rate, place):
    at = int(rate * place)
    impulse = np.zeros((1, rate), np.float32)
    impulse[0, at] = 1
    assert abs(int(np.argmax(np.abs(resampled(impulse, rate, 44_100)))) - at * 44_100 / rate) <= 0.5


@pytest.mark.parametrize(("rate_in", "rate_out"), [(48_000, 44_100), (96_000, 44_100), (44_100, 48_000)])
@pytest.mark.parametrize("frequency", [100, 997, 10_000, 20_000])
def test_tone_comes_out_as_if_sampled_at_the_new_rate(rate_in, rate_out, frequency):
    heard = resampled(tone(frequency, rate_in, rate_in), rate_in, rate_out)[0]
    meant = tone(frequency, rate_out, rate_out)[0]
    assert np.abs(heard - meant)[3_000:-3_000].max() < 2e-5


@pytest.mark.parametrize("frequency", [23_000, 30_000, 40_000])
def test_tone_above_the_new_nyquist_is_gone(frequency):
    heard = resampled(tone(frequency, 96_000, 96_000), 96_000, 44_100)[0]
    assert np.abs(heard[3_000:-3_000]).max() < 0.5 * 10 ** (-100 / 20)


def test_same_rate_passes_untouched():
    samples = np.random.default_rng(0).standard_normal((2, 12_345)).astype(np.float32)
    assert np.array_equal(resampled(samples, 44_100, 44_100), samples)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4_000),
    rate_in=st.integers(4_000, 200_000),
    rate_out=st.sampled_from([16_000, 44_100, 48_000]),
    step=st.integers(1, 3_000),
)
def test_length_is_exact_at_any_rate(n, rate_in, rate_out, step):
    samples = np.ones((2, n), np.float32)
    assert resampled(samples, rate_in, rate_out, max(step, n // 20)).shape == (2, ceil(n * rate_out / rate_in))


@settings(max_examples=20, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 2_000), st.sampled_from([44_100, 48_000, 32_000])), min_size=1, max_size=5)
)
def test_length_is_exact_through_changes_of_rate(runs):
    resampler = Resampler(44_100, 1)
    total = 0
    for n, rate in runs:
        total += sum(out.shape[1] for out in resampler.push(np.ones((1, n), np.float32), rate))
    total += sum(out.shape[1] for out in resampler.finish())
    assert total == ceil(sum(Fraction(n, rate) for n, rate in runs) * 44_100)


def test_cutting_the_input_differently_changes_nothing():
    samples = np.random.default_rng(0).standard_normal((2, 30_000)).astype(np.float32)
    assert np.array_equal(resampled(samples, 48_000, 44_100, 997), resampled(samples, 48_000, 44_100, 30_000))


def test_low_rates_come_in_small_blocks():
    resampler = Resampler(44_100, 1)
    assert max(out.shape[1] for out in resampler.push(np.ones((1, 60_000), np.float32), 4_000)) < 1 << 17
