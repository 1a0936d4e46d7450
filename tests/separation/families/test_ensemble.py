"""Ensembles of models of several families: the weighted mean of their separate runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from msaas.catalogue import LicenceRule
from msaas.errors import ModelUnavailable
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.weights.loader import fetch, load_model, locate
from msaas.separation.weights.on_disk import fault_in_folder, held
from tests.support.models.families import SMALL, write_model

FULL_SCALE_ERROR = 1e-5


@pytest.fixture
def repo(tmp_path, kit, export) -> Path:
    """A SCNet of four sources, a Mel-Band RoFormer of two, a bag of two Demucs networks, and an ensemble's folder."""
    write_model(tmp_path, "four", SMALL["scnet"], seed=1)
    write_model(tmp_path, "voice", SMALL["mel_band_roformer"], seed=2)
    names = ["drums", "bass", "other", "vocals"]
    (tmp_path / "bag").mkdir()
    for seed in (1, 2):
        (tmp_path / "bag" / f"net{seed}.safetensors").write_bytes(export(kit.tiny(names, seed=seed)))
    (tmp_path / "bag" / "bag.yaml").write_text("models: [net1, net2]\nweights: [[1., 0., 1., 1.], [3., 1., 1., 0.]]\n")
    (tmp_path / "mixed").mkdir()
    return tmp_path


def write(repo: Path, text: str) -> None:
    (repo / "mixed" / "mixed.yaml").write_text(text)


MIXED = """
ensemble:
  - {model: four, weight: 2}
  - {model: voice, weights: {vocals: 3}}
  - {model: bag, weights: {drums: 1, vocals: 1.5}}
"""


def test_an_ensemble_is_the_weighted_mean_of_its_members(repo, kit, stream) -> None:
    write(repo, MIXED)
    wav = kit.noise(150_000)
    runs = {}
    for name in ("four", "voice", "bag"):
        member = load_model(name, repo=repo, sources=[])
        runs[name] = dict(zip(member.sources, stream(member, wav), strict=True))
    model = load_model("mixed", repo=repo, sources=[])
    assert model.sources == ("drums", "bass", "other", "vocals")
    stems = dict(zip(model.sources, stream(model, wav), strict=True))
    four, voice, bag = runs["four"], runs["voice"], runs["bag"]
    want = {
        "drums": (2 * four["drums"] + bag["drums"]) / 3,
        "bass": four["bass"],
        "other": four["other"],
        "vocals": (2 * four["vocals"] + 3 * voice["vocals"] + 1.5 * bag["vocals"]) / 6.5,
    }
    for source, stem in want.items():
        assert np.abs(stems[source] - stem).max() <= FULL_SCALE_ERROR, source


def test_members_without_weight_for_what_is_asked_do_not_run(repo, kit, stream) -> None:
    write(repo, MIXED)
    model = load_model("mixed", repo=repo, sources=[])

    class Never:
        def forward(self, batch):
            raise AssertionError("this network has no weight for bass")

    wav = kit.noise(20_000)
    four = load_model("four", repo=repo, sources=[])
    engines = [TorchEngine(model.networks[0].module, kit.CPU), Never(), Never(), Never()]
    bass = stream(model, wav, engines, sources=[1])
    assert np.abs(bass - stream(four, wav, sources=[1])).max() <= FULL_SCALE_ERROR


def test_the_rest_of_a_target_can_be_blended_too(repo, kit, stream) -> None:
    write(repo, "ensemble: [{model: voice}, {model: voice, weight: 3}]")
    model, wav = load_model("mixed", repo=repo, sources=[]), kit.noise(30_000)
    assert model.sources == ("vocals", "other")
    assert np.abs(stream(model, wav) - stream(load_model("voice", repo=repo, sources=[]), wav)).max() <= 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ensemble: []", "must be a list of entries"),
        ("ensemble: [four]", "the entry 'four' names no model"),
        ("ensemble: [{model: four, weight: 1, weights: {bass: 1}}]", "takes model and either weight or weights"),
        ("ensemble: [{model: four, wait: 1}]", "takes model and either weight or weights"),
        ("ensemble: [{model: four, weight: -1}]", "the weight -1 of four must be 0 or from 0.000001 to 1000000"),
        ("ensemble: [{model: four, weight: 1e+300}]", "weight 1e\\+300 of four must be 0 or from"),
        ("ensemble: [{model: four, weights: {vocals: 1e-60}}]", "weight 1e-60 of four must be 0 or from"),
        (f"ensemble: [{{model: four, weight: {10**80}}}]", f"weight {10**80} of four must be 0 or from"),
        (f"ensemble: [{{model: four, weight: {10**400}}}]", "a number may have at most 100 characters"),
        ("ensemble: [{model: '../four'}]", "names no model"),
        ('ensemble: [{model: "fo\\0ur"}]', "names no model"),
        ("ensemble: [{model: four, weight: .nan}]", "the weight nan of four"),
        ("ensemble: [{model: four, weights: []}]", "must be by source"),
        ("ensemble: [{model: four, weights: {piano: 1}}]", "four has no source 'piano'; it has drums, bass"),
        ("ensemble: [{model: four, weight: 0}]", "all weights are 0"),
        ("ensemble: [{model: mixed}]", "mixed is an ensemble itself"),
        ("ensemble: [{model: four}, {model: nobody}]", "'nobody' is not available"),
    ],
)
def test_a_wrong_ensemble_is_named(text, message, repo) -> None:
    write(repo, text)
    with pytest.raises(ModelUnavailable, match=message):
        load_model("mixed", repo=repo, sources=[])


def test_members_of_another_rate_are_refused(repo) -> None:
    content = {**SMALL["scnet"], "audio": {**SMALL["scnet"]["audio"], "sample_rate": 48_000}}
    write_model(repo, "fast", content)
    write(repo, "ensemble: [{model: four}, {model: fast}]")
    with pytest.raises(ModelUnavailable, match="fast has 48000 Hz and 2 channels, four 44100 Hz and 2"):
        load_model("mixed", repo=repo, sources=[])


def test_an_ensemble_is_here_once_its_members_are(repo) -> None:
    write(repo, MIXED)
    assert locate("mixed", repo=repo, sources=[]).obtainable
    assert held("mixed", repo=repo, sources=[])
    shutil.rmtree(repo / "voice")
    (reason, *_) = locate("mixed", repo=repo, sources=[]).reasons
    assert reason.startswith("its member voice: ")
    assert not held("mixed", repo=repo, sources=[])


def test_an_ensemble_of_itself_is_not_searched_for_ever(repo) -> None:
    write(repo, "ensemble: [{model: mixed}]")
    assert not held("mixed", repo=repo, sources=[])
    nested = f"{repo / 'mixed' / 'mixed.yaml'}: mixed is an ensemble itself; name its members instead"
    assert locate("mixed", repo=repo, sources=[]).reasons == (f"its member mixed: {nested}",)
    assert fault_in_folder("mixed", repo) == nested


def test_an_ensemble_is_fetched_with_its_members(repo, tmp_path_factory) -> None:
    write(repo, MIXED)
    baked = tmp_path_factory.mktemp("baked")
    fetch("mixed", baked, repo=repo, sources=[])
    assert sorted(path.name for path in baked.iterdir()) == ["bag", "four", "mixed", "voice"]
    assert load_model("mixed", repo=baked, sources=[]).sources == ("drums", "bass", "other", "vocals")


def test_a_members_licence_counts(repo) -> None:
    (repo / "four").rename(repo / "scnet_xl_ihf")
    for path in (repo / "scnet_xl_ihf").iterdir():
        path.rename(path.with_stem("scnet_xl_ihf"))
    write(repo, "ensemble: [{model: scnet_xl_ihf}]")
    with pytest.raises(ModelUnavailable, match="MSAAS_ACCEPT_UNLICENSED"):
        load_model("mixed", repo=repo, sources=[])
    accepted = LicenceRule(frozenset({"scnet_xl_ihf"}))
    assert load_model("mixed", repo=repo, sources=[], licences=accepted).sources[0] == "drums"
