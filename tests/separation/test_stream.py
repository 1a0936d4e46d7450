"""Streaming overlap-add against demucs.apply.apply_model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels
from demucs.pretrained import get_model

from msaas.errors import Cancelled, SeparationError
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.model import from_demucs
from msaas.separation.overlap_add import random_shifts, separate_stream

FULL_SCALE_ERROR = 1e-4


class Counting:
    """An engine that counts the segments it was given."""

    def __init__(self, engine) -> None:
        self.engine, self.batches = engine, []

    def forward(self, batch):
        self.batches.append(len(batch))
        return self.engine.forward(batch)


def engines_of(model):
    return [Counting(TorchEngine(part.module, torch.device("cpu"))) for part in model.networks]


@pytest.fixture
def stream(kit):
    """Separates [C, n] at once: the stems, [S, C, n]."""

    def separate(network, wav, engines=None, **how):
        model = from_demucs("test", network)
        engines = engines or engines_of(model)
        spans = list(separate_stream(kit.blocks_of(wav), kit.stats_of(wav), model, engines, **how))
        assert np.array_equal(np.concatenate([span.mix for span in spans], -1), wav)
        return np.concatenate([span.stems for span in spans], -1)

    return separate


@pytest.mark.parametrize("name", ["two sources", "six sources", "free length", "hybrid", "waveform", "bag"])
def test_every_kind_of_model_gives_what_apply_model_gives(name, networks, kit, stream) -> None:
    wav = kit.noise(int(2.4 * kit.RATE))
    want = kit.demucs_says(networks[name], wav)
    got = stream(networks[name], wav)
    assert got.shape == want.shape
    assert np.abs(want).max() > 0.01
    assert np.abs(got - want).max() <= FULL_SCALE_ERROR


SEGMENT, STRIDE = 66_150, 49_612  # of the two-source model


@pytest.mark.parametrize("samples", [1, 2, 1000, STRIDE, STRIDE + 1, SEGMENT, SEGMENT + 1, 2 * STRIDE, 2 * STRIDE + 7])
def test_every_length_gives_what_apply_model_gives(samples, networks, kit, stream) -> None:
    network, wav = networks["two sources"], kit.noise(samples)
    assert np.abs(stream(network, wav) - kit.demucs_says(network, wav)).max() <= FULL_SCALE_ERROR


@pytest.mark.parametrize("name", ["two sources", "hybrid", "waveform", "bag"])
def test_a_batch_changes_nothing(name, networks, kit, stream) -> None:
    wav = kit.noise(int(2.4 * kit.RATE))
    model = from_demucs("test", networks[name])
    engines = engines_of(model)
    assert np.abs(stream(networks[name], wav, engines, batch=3) - stream(networks[name], wav)).max() <= 1e-5
    assert max(engines[0].batches) > 1


def test_another_overlap_gives_what_apply_model_gives(networks, kit, stream) -> None:
    wav = kit.noise(2 * kit.RATE)
    network = networks["two sources"]
    want = kit.demucs_says(network, wav, overlap=0.6)
    assert np.abs(stream(network, wav, overlap=0.6) - want).max() <= FULL_SCALE_ERROR


@pytest.fixture
def with_draws(monkeypatch):
    """Calls something whose random.randint draws from the seed alone: Demucs' networks draw from `random`, too."""

    def call(seed, something):
        monkeypatch.setattr(random, "randint", random.Random(seed).randint)
        return something()

    return call


@pytest.mark.parametrize("name", ["two sources", "waveform", "bag"])
def test_shifts_give_what_apply_model_gives_with_the_same_offsets(name, networks, kit, stream, with_draws) -> None:
    wav = kit.noise(int(2.4 * kit.RATE))
    shifts = random_shifts(2, len(from_demucs("test", networks[name]).networks), kit.RATE, "a song")
    want = with_draws("a song", lambda: kit.demucs_says(networks[name], wav, shifts=2, overlap=0.4))
    got = stream(networks[name], wav, shifts=shifts, overlap=0.4)
    assert np.abs(got - want).max() <= FULL_SCALE_ERROR


@pytest.mark.parametrize("samples", [1, STRIDE - 7, SEGMENT + 1])
def test_shifts_of_every_length_give_what_apply_model_gives(samples, networks, kit, stream, with_draws) -> None:
    network, wav = networks["two sources"], kit.noise(samples)
    want = with_draws("a song", lambda: kit.demucs_says(network, wav, shifts=2))
    got = stream(network, wav, shifts=random_shifts(2, 1, kit.RATE, "a song"), batch=2)
    assert np.abs(got - want).max() <= FULL_SCALE_ERROR


def test_zeros_longer_than_a_segment_leave_the_song_whole(networks, kit, stream) -> None:
    network, wav = networks["two sources"], kit.noise(2 * kit.RATE)
    assert stream(network, wav, shifts=[3 * SEGMENT]).shape[-1] == wav.shape[-1]


def test_silence_and_a_constant_give_what_apply_model_gives(networks, kit, stream) -> None:
    network = networks["two sources"]
    for level in (0.0, 0.5):
        wav = np.full((2, kit.RATE), level, np.float32)
        assert np.abs(stream(network, wav) - kit.demucs_says(network, wav)).max() <= FULL_SCALE_ERROR


@pytest.mark.slow
def test_the_small_model_gives_what_apply_model_gives(kit, stream) -> None:
    network = get_model("htdemucs_mini", repo=kit.MODELS / "htdemucs_mini")
    wav = kit.noise(5 * kit.RATE + 123)
    want = kit.demucs_says(network, wav)
    assert np.abs(stream(network, wav) - want).max() <= FULL_SCALE_ERROR


@pytest.mark.slow
def test_the_exact_htdemucs_architecture_gives_what_apply_model_gives(exact_htdemucs, kit, stream) -> None:
    assert from_demucs("htdemucs", exact_htdemucs).parameters == 41_984_456
    wav = kit.noise(int(11.6 * kit.RATE))
    want = kit.demucs_says(exact_htdemucs, wav)
    assert np.abs(want).max() > 0.01
    assert np.abs(stream(exact_htdemucs, wav) - want).max() <= FULL_SCALE_ERROR


def test_sources_may_be_asked_for_alone(networks, kit, stream) -> None:
    wav = kit.noise(2 * kit.RATE)
    everything = stream(networks["six sources"], wav)
    assert np.array_equal(stream(networks["six sources"], wav, sources=[4, 1]), everything[[4, 1]])


def test_parts_of_no_weight_do_not_run(kit, stream) -> None:
    bag = BagOfModels([kit.tiny(["a", "b"], seed=1), kit.tiny(["a", "b"], seed=2)], [[1.0, 0.0], [0.0, 1.0]])
    wav = kit.noise(2 * kit.RATE)
    engines = engines_of(from_demucs("test", bag))
    only_b = stream(bag, wav, engines, sources=[1])
    assert [len(engine.batches) for engine in engines] == [0, 2]
    assert np.abs(only_b - kit.demucs_says(bag, wav)[[1]]).max() <= FULL_SCALE_ERROR


@pytest.mark.parametrize("name", ["two sources", "waveform", "bag"])
def test_no_more_than_a_few_segments_are_ever_held(name, networks, kit) -> None:
    wav = kit.noise(6 * kit.RATE)
    taken = 0

    def blocks():
        nonlocal taken
        for block in kit.blocks_of(wav):
            taken += block.shape[-1]
            yield block

    model = from_demucs("test", networks[name])
    given = 0
    for span in separate_stream(blocks(), kit.stats_of(wav), model, engines_of(model)):
        given += span.stems.shape[-1]
        assert taken - given <= 1.5 * model.segment_samples
    assert given == wav.shape[-1]


def test_progress_rises_to_one_segment_by_segment(networks, kit, stream) -> None:
    heard: list[float] = []
    stream(networks["two sources"], kit.noise(4 * STRIDE), progress=heard.append)
    assert heard == [0.25, 0.5, 0.75, 1.0]


def test_stop_ends_before_the_next_segment(networks, kit) -> None:
    model = from_demucs("test", networks["two sources"])
    wav, engines = kit.noise(4 * STRIDE), engines_of(model)
    spans = separate_stream(
        kit.blocks_of(wav),
        kit.stats_of(wav),
        model,
        engines,
        stop=lambda: len(engines[0].batches) == 2,
    )
    with pytest.raises(Cancelled):
        list(spans)
    assert engines[0].batches == [1, 1]


def test_a_song_shorter_than_it_was_is_an_error(networks, kit) -> None:
    model = from_demucs("test", networks["two sources"])
    wav = kit.noise(kit.RATE)
    spans = separate_stream(kit.blocks_of(wav[:, :-1]), kit.stats_of(wav), model, engines_of(model))
    with pytest.raises(SeparationError, match="44099; the first pass counted 44100"):
        list(spans)
