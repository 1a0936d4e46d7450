"""The downmix is FFmpeg's own where FFmpeg has one, and mono keeps its level."""

from __future__ import annotations

import av
import numpy as np
import pytest

from msaas.audio.decode.downmix import matrix


def names(layout):
    return tuple(channel.name for channel in av.AudioLayout(layout).channels)


def swresample_matrix(layout):
    """What FFmpeg does with one impulse in each channel; `rematrix_maxval` keeps floats from passing full scale too."""
    count = av.AudioLayout(layout).nb_channels
    graph = av.filter.Graph()
    source = graph.add("abuffer", sample_rate="44100", sample_fmt="flt", channel_layout=layout, time_base="1/44100")
    convert = graph.add("aresample", rematrix_maxval="1.0")
    shape = graph.add("aformat", channel_layouts="stereo", sample_fmts="fltp")
    graph.link_nodes(source, convert, shape, graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(np.eye(count, dtype=np.float32).reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = 44_100
    graph.push(frame)
    graph.push(None)
    return graph.pull().to_ndarray()


@pytest.mark.parametrize("layout", ["3.0", "2.1", "4.0", "quad", "5.0", "5.1", "5.1(side)", "6.1", "7.1", "hexagonal"])
def test_downmix_of_a_layout_is_that_of_swresample(layout):
    assert np.allclose(matrix(names(layout), 2), swresample_matrix(layout), atol=2e-4)


def test_voice_in_the_centre_of_five_one_comes_out_of_both_sides():
    weights = matrix(names("5.1"), 2)
    assert weights[0, 2] == weights[1, 2] > 0.25


@pytest.mark.parametrize("layout", ["5.1", "7.1", "7.1(wide)", "22.2", "cube", "octagonal", "downmix", "5.1.4"])
def test_no_layout_can_clip(layout):
    assert np.abs(matrix(names(layout), 2)).sum(axis=1).max() <= 1.0001


@pytest.mark.parametrize("count", [3, 6, 8, 9, 16, 64])
def test_channels_without_names_reach_both_sides(count):
    weights = matrix(tuple(f"USR{i}" for i in range(count)), 2)
    assert weights.shape == (2, count)
    assert (weights.sum(axis=1) > 0.5).all()


def test_mono_and_stereo_are_never_scaled():
    assert np.array_equal(matrix(("FC",), 2), [[1], [1]])
    assert np.array_equal(matrix(("FC",), 1), [[1]])
    assert np.array_equal(matrix(("FL", "FR"), 2), np.eye(2))
    assert np.array_equal(matrix(("DL", "DR"), 2), np.eye(2))
    assert np.array_equal(matrix(("FL", "FR"), 1), [[0.5, 0.5]])
