"""Overlap-add against MSST's definition, with small networks that show each difference in place, level or padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msaas.errors import Cancelled
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.model import Chunks, LoadedModel, Network, SourceOutput
from msaas.separation.overlap_add import separate_stream
from tests.support.models.msst import demix

FULL_SCALE_ERROR = 1e-4
CHUNK = 200


class Positional(torch.nn.Module):
    """Two outputs that depend on each sample's place in the chunk and on the chunk's other samples."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-1, 1, batch.shape[-1])
        past = batch.cumsum(-1) / batch.shape[-1]
        return torch.stack([batch * ramp + past, torch.tanh(batch) * ramp.cos() + 0.1], 1)


def model_of(overlaps: int = 4, normalize: bool = False, chunk: int = CHUNK) -> LoadedModel:
    network = Network(Positional(), chunk, (1.0, 1.0), Chunks(overlaps, normalize))
    return LoadedModel("test", ("a", "b"), 44_100, 2, chunk, (network,))


def config_of(overlaps: int = 4, normalize: bool = False, chunk: int = CHUNK) -> dict:
    return {"audio": {"chunk_size": chunk}, "inference": {"num_overlap": overlaps, "normalize": normalize}}


@pytest.fixture
def stream(kit):
    """Separates [C, n] at once: the stems, [S, C, n]."""

    def separate(model, wav, engines=None, block=97, **how):
        engines = engines or [TorchEngine(network.module, torch.device("cpu")) for network in model.networks]
        spans = list(separate_stream(kit.blocks_of(wav, block), kit.stats_of(wav), model, engines, **how))
        assert np.array_equal(np.concatenate([span.mix for span in spans], -1), wav)
        return np.concatenate([span.stems for span in spans], -1)

    return separate


# For 4 overlaps the border is 150, so a song is mirrored from 301 samples on.
LENGTHS = [1, 2, 49, 50, 51, 99, 100, 101, 150, 199, 200, 201, 299, 300, 301, 302, 349, 350, 351, 400, 999, 1000, 1001]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("overlaps", [1, 2, 3, 4, 8])
def test_every_length_gives_what_the_definition_gives(overlaps, normalize, kit, stream) -> None:
    for samples in LENGTHS:
        wav = kit.noise(samples, seed=samples)
        if normalize and samples == 1:
            continue  # the definition divides by zero
        want = demix(Positional(), wav, config_of(overlaps, normalize))
        got = stream(model_of(overlaps, normalize), wav)
        assert got.shape == want.shape
        defined = ~np.isnan(want)
        assert defined.mean() >= 0.9
        assert np.abs(got - want)[defined].max() <= FULL_SCALE_ERROR, samples


@pytest.mark.parametrize("chunk", [201, 333])
def test_a_chunk_that_no_overlap_divides_gives_what_the_definition_gives(chunk, kit, stream) -> None:
    for samples in (100, chunk // 2, chunk // 2 + 1, chunk, 2 * chunk, 5 * chunk + 3):
        wav = kit.noise(samples)
        want = demix(Positional(), wav, config_of(chunk=chunk))
        assert np.abs(stream(model_of(chunk=chunk), wav) - want)[~np.isnan(want)].max() <= FULL_SCALE_ERROR


def test_where_the_definition_has_no_weight_the_networks_output_stands(kit, stream) -> None:
    wav = kit.noise(3 * CHUNK)
    want = demix(Positional(), wav, config_of(1))
    undefined = np.flatnonzero(np.isnan(want[0, 0]))
    assert list(undefined) == [CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK]  # between chunks without overlap
    got = stream(model_of(1), wav)
    whole = Positional()(torch.from_numpy(wav[None, :, :CHUNK]))[0].numpy()
    assert np.abs(got[..., CHUNK - 1] - whole[..., CHUNK - 1]).max() <= FULL_SCALE_ERROR


@pytest.mark.parametrize("normalize", [False, True])
def test_silence_stays_finite(normalize, stream) -> None:
    for samples in (1, 3 * CHUNK):
        assert np.isfinite(stream(model_of(normalize=normalize), np.zeros((2, samples), np.float32))).all()


@pytest.mark.parametrize("batch", [2, 3, 5, 8])
def test_a_batch_changes_nothing(batch, kit, stream) -> None:
    wav = kit.noise(1234)
    assert np.abs(stream(model_of(), wav, batch=batch) - stream(model_of(), wav)).max() <= 1e-6


def test_an_overlap_that_is_asked_for_replaces_the_configurations(kit, stream) -> None:
    wav = kit.noise(1234)
    want = demix(Positional(), wav, config_of(2))
    assert np.abs(stream(model_of(4), wav, overlap=0.5) - want).max() <= FULL_SCALE_ERROR


def test_a_shift_is_the_song_with_zeros_in_front(kit, stream) -> None:
    wav = kit.noise(1234)
    late = np.concatenate([np.zeros((2, 70), np.float32), wav], 1)
    want = demix(Positional(), late, config_of())[..., 70:]
    assert np.abs(stream(model_of(), wav, shifts=(70,)) - want).max() <= FULL_SCALE_ERROR
    mean = (want + demix(Positional(), wav, config_of())) / 2
    assert np.abs(stream(model_of(), wav, shifts=(70, 0)) - mean).max() <= FULL_SCALE_ERROR


def test_the_rest_is_the_mixture_without_the_target(kit, stream) -> None:
    for normalize in (False, True):
        network = Network(
            Positional(), CHUNK, (1.0, 1.0), Chunks(4, normalize), (SourceOutput(1), SourceOutput(1, rest=True))
        )
        wav = kit.noise(1234)
        stems = stream(LoadedModel("test", ("vocals", "other"), 44_100, 2, CHUNK, (network,)), wav)
        assert np.abs(stems.sum(0) - wav).max() <= 1e-6
        want = demix(Positional(), wav, config_of(normalize=normalize))[1]
        assert np.abs(stems[0] - want).max() <= FULL_SCALE_ERROR


def test_sources_may_be_asked_for_alone_and_in_any_order(kit, stream) -> None:
    wav = kit.noise(1234)
    both = stream(model_of(), wav)
    assert np.array_equal(stream(model_of(), wav, sources=[1]), both[[1]])
    assert np.array_equal(stream(model_of(), wav, sources=[1, 0]), both[[1, 0]])


@pytest.mark.parametrize("overlaps", [1, 2, 4])
def test_no_more_than_a_few_chunks_are_ever_held(overlaps, kit) -> None:
    wav, taken, given = kit.noise(40 * CHUNK), 0, 0

    def blocks():
        nonlocal taken
        for block in kit.blocks_of(wav, 50):
            taken += block.shape[-1]
            yield block

    model = model_of(overlaps)
    engine = TorchEngine(model.networks[0].module, torch.device("cpu"))
    for span in separate_stream(blocks(), kit.stats_of(wav), model, [engine]):
        given += span.stems.shape[-1]
        assert taken - given <= 2 * CHUNK
    assert given == wav.shape[-1]


def test_progress_rises_to_one_and_stop_ends_before_the_next_chunk(kit, stream) -> None:
    heard: list[float] = []
    wav = kit.noise(1000)
    stream(model_of(), wav, progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert len(heard) == (1000 + 150) // 50
    with pytest.raises(Cancelled):
        stream(model_of(), wav, progress=heard.append, stop=lambda: len(heard) >= 25)
    assert len(heard) == 25
