"""The finer waveforms, against the same worked out in one go."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.audio.waveform import Waveforms
from msaas.audio.waveform_detail import HEADER_BYTES, MAX_INTERVALS, DetailHeader, coarse_part, interval_of


def made(samples, cuts=(), stems=("drums", "bass")):
    waveforms = Waveforms(stems, samples.shape[1], 44_100)
    edges = np.unique(np.minimum(np.cumsum([0, *cuts]), samples.shape[1]))
    for index, stem in enumerate(stems):
        for block in np.split(samples * (1 - 0.5 * index), edges, axis=1):
            waveforms.add(stem, block)
    return waveforms


def read(data, start, end, points=2000):
    header = DetailHeader.parse(data[:HEADER_BYTES])
    assert header is not None
    first, count = header.span(start, end)
    offset, length = header.place(first, count)
    return header.part(data[offset : offset + length], first, points)


def values(part, stem, kind):
    return np.frombuffer(base64.b64decode(part["stems"][stem][kind]), np.uint8).astype(int)


@given(st.integers(1, 9000), st.lists(st.integers(1, 3000), max_size=8), st.integers(0, 99), st.data())
def test_any_part_is_that_of_the_whole(total, cuts, seed, data):
    samples = np.random.default_rng(seed).normal(0, 0.3, (2, total)).astype(np.float32)
    start = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(start + 1, total))
    part = read(made(samples, cuts).detail(), start, end)
    assert part["start_sample"] <= start and part["end_sample"] >= end
    edges = range(part["start_sample"], part["end_sample"], 256)
    for index, stem in enumerate(("drums", "bass")):
        intervals = [samples[:, edge : edge + 256] * (1 - 0.5 * index) for edge in edges]
        peak = [255 * min(1, np.abs(interval).max()) for interval in intervals]
        rms = [255 * min(1, np.sqrt(np.mean(np.square(interval, dtype=float)))) for interval in intervals]
        assert np.abs(values(part, stem, "peak") - peak).max() <= 0.51
        assert np.abs(values(part, stem, "rms") - rms).max() <= 0.51


def test_long_parts_are_joined_to_the_points_of_a_picture():
    samples = np.zeros((2, 256 * 5000), np.float32)
    samples[:, 256 * 1000] = 0.5
    part = read(made(samples).detail(), 0, samples.shape[1])
    peaks = values(part, "drums", "peak")
    assert len(peaks) == 2000
    assert [int(index) for index in np.nonzero(peaks)[0]] == [400]


def test_four_hours_have_a_bounded_size():
    samples = 4 * 3600 * 48_000
    assert samples / interval_of(samples) <= MAX_INTERVALS
    assert (interval_of(10), interval_of(256 * MAX_INTERVALS), interval_of(256 * MAX_INTERVALS + 1)) == (256, 256, 512)


def test_coarse_parts_are_those_of_the_stored_waveforms():
    whole = made(np.random.default_rng(1).normal(0, 0.3, (2, 44_100)).astype(np.float32)).to_json()
    part = coarse_part(whole, 11_025, 22_050)
    assert (part["start_sample"], part["end_sample"]) == (11_025, 22_050)
    everything = np.frombuffer(base64.b64decode(whole["stems"]["bass"]["peak"]), np.uint8)
    assert values(part, "bass", "peak").tolist() == everything[500:1000].tolist()


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b" " * HEADER_BYTES, b'{"version": 2}'.ljust(HEADER_BYTES)])
def test_what_is_not_a_header_counts_as_none(data):
    assert DetailHeader.parse(data) is None
