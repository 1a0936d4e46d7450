"""What trains the small models: examples drawn again, an optimiser that learns, a run that outlives a kill."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from demucs.pretrained import get_model
from training.learning.examples import Songs, batch
from training.learning.losses import loss, sdr
from training.learning.optimiser import Muon, orthogonalised
from training.learning.recipe import RECIPES, build_model, rate_at
from training.package import package
from training.score.notes import RATE, STEMS
from training.train import Run, Trainer

from msaas.separation.weights.loader import load_model
from tests.support.environment import REPOSITORY

MODELS = REPOSITORY / "models"

SMALL = {
    name: replace(RECIPES[name], architecture=RECIPES[name].architecture | smaller, segment_seconds=0.5)
    for name, smaller in {"htdemucs_mini": {"channels": 8}, "scnet_mini": {"dims": [4, 8, 8, 16]}}.items()
}
by_model = pytest.mark.parametrize("name", SMALL)


@pytest.fixture
def songs(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(2):
        np.save(folder / f"{number:04}.npy", rng.integers(-9000, 9000, (4, 2, 3 * RATE), dtype=np.int16))
    return Songs([folder])


COMPOSED = """
import numpy as np
from training.score.compose import compose
print([compose(np.random.default_rng((1, number)), 60) for number in range(5)])
"""


def test_a_seed_composes_the_same_song_in_each_process():
    environment = {**os.environ, "PYTHONPATH": f"{MODELS}{os.pathsep}{REPOSITORY / 'data'}"}
    songs = {
        subprocess.run(
            [sys.executable, "-c", COMPOSED],
            env=environment | {"PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(songs) == 1


def test_the_same_numbers_draw_the_same_examples(songs):
    drawn = [batch(songs, seed=1, step=5, rank=0, examples=2, seconds=0.5) for _ in range(2)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], batch(songs, seed=1, step=6, rank=0, examples=2, seconds=0.5))


def test_an_example_is_four_stems_at_a_common_level(songs):
    stems = batch(songs, seed=1, step=0, rank=0, examples=8, seconds=0.5)
    assert stems.shape == (8, len(STEMS), 2, RATE // 2)
    assert torch.allclose(stems.sum(1).std((1, 2), correction=0), torch.ones(8), atol=1e-3)


def test_no_rendered_songs_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no rendered songs"):
        Songs([tmp_path])


def test_a_perfect_estimate_costs_nothing_and_noise_ten_db_down_has_ten_db():
    stems = torch.randn(2, 4, 2, 8192)
    assert loss(stems, stems, 0.5) == 0
    noisy = stems + torch.randn_like(stems) / 10**0.5
    assert sdr(noisy, stems).mean() == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_an_orthogonalised_matrix_treats_every_direction_alike(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
    assert values.min() > 0.3
    assert values.max() < 1.5


def test_the_rate_rises_stays_and_falls_to_nothing():
    recipe = RECIPES["htdemucs_mini"]
    assert rate_at(recipe, 0) == 0
    assert rate_at(recipe, recipe.warm_up) == 1
    assert rate_at(recipe, 1.0) == 0
    shares = np.linspace(recipe.decay_from, 1, 20)
    assert all(np.diff([rate_at(recipe, share) for share in shares]) < 0)


@pytest.mark.slow
def test_the_optimiser_learns_one_example_by_heart(songs):
    recipe = SMALL["htdemucs_mini"]
    model = build_model(recipe).train()
    optimiser = Muon(model, recipe.muon_rate, recipe.learning_rate)
    stems = batch(songs, seed=1, step=0, rank=0, examples=1, seconds=0.5)
    values = []
    for _ in range(25):
        value = loss(model(stems.sum(1)), stems, 0.5)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert min(values[-5:]) < 0.9 * values[0], values


def trained(name, songs, folder, seconds):
    trainer = Trainer(SMALL[name], songs, Run(folder), 0, 1, seconds)
    trainer.train()
    return trainer


@pytest.mark.slow
@by_model
def test_a_run_goes_on_where_it_was_stopped(songs, tmp_path, name):
    first = trained(name, songs, tmp_path / "run", 1)
    second = Trainer(SMALL[name], songs, Run(tmp_path / "run"), 0, 1, 60)
    assert second.step == first.step > 0
    assert second.spent_seconds == first.spent_seconds
    for ours, theirs in zip(second.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(second._batch(), first._batch())
    assert second._one_step()[0] == pytest.approx(first._one_step()[0])


@pytest.mark.slow
@by_model
def test_a_run_begins_with_the_weights_of_another(songs, tmp_path, name):
    before = trained(name, songs, tmp_path / "before", 1)
    out = tmp_path / "model"
    out.mkdir()
    weights = package(name, tmp_path / "before", out)
    after = Trainer(SMALL[name], songs, Run(tmp_path / "after"), 0, 1, 60, weights)
    assert after.step == 0
    for model in (after.model, after.average):
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, before.average.state_dict()[key].half().float()), key


@pytest.mark.slow
def test_a_run_becomes_files_that_demucs_loads(songs, tmp_path):
    trainer = trained("htdemucs_mini", songs, tmp_path / "run", 1)
    out = tmp_path / "model"
    out.mkdir()
    (out / "mini-00000000.th").write_bytes(b"the one before")
    made = package("htdemucs_mini", tmp_path / "run", out)
    assert list(out.glob("*.th")) == [made]
    model = get_model("htdemucs_mini", repo=out)
    assert model.sources == list(STEMS)
    [network] = model.models
    for ours, theirs in zip(network.parameters(), trainer.average.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-3)


@pytest.mark.slow
def test_a_run_becomes_a_folder_that_the_service_loads(songs, tmp_path):
    trainer = trained("scnet_mini", songs, tmp_path / "run", 1)
    out = tmp_path / "models" / "scnet_mini"
    out.mkdir(parents=True)
    package("scnet_mini", tmp_path / "run", out)
    model = load_model("scnet_mini", repo=tmp_path / "models", sources=[])
    assert model.sources == tuple(STEMS)
    [network] = model.networks
    song = torch.randn(1, 2, model.segment_samples)
    with torch.inference_mode():
        assert torch.allclose(network.module(song), trainer.average(song), atol=2e-2)
