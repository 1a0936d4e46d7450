"""Weights from a folder of the operator's, and what is said where there are none."""

from __future__ import annotations

import pwd
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch
from demucs.hf import hf_repo_name
from demucs.pretrained import ROOT_URL
from huggingface_hub import constants

from msaas.errors import ModelUnavailable
from msaas.separation.weights.hub import Hub, repository_of
from msaas.separation.weights.loader import fetch, load_model, obtainable, why_unobtainable
from msaas.separation.weights.mirror import MIRROR_URL, Mirror, torch_hub_folder
from tests.support.environment import BUSY_SECONDS
from tests.support.models import small_model


@pytest.fixture
def folder(kit, tmp_path):
    """A copy of the folder of htdemucs_mini."""
    return shutil.copytree(kit.MODELS / "htdemucs_mini", tmp_path / "htdemucs_mini")


def test_a_model_is_found_flat_and_in_a_folder_of_its_name(folder) -> None:
    for repo in (folder, folder.parent):
        model = load_model("htdemucs_mini", repo=repo, sources=[])
        assert model.name == "htdemucs_mini"
        assert model.sources == ("drums", "bass", "other", "vocals")
        assert model.parameters == small_model.PARAMETERS
        assert obtainable("htdemucs_mini", repo=repo, sources=[])


def test_one_network_is_found_by_its_signature(folder) -> None:
    assert load_model(small_model.SIGNATURE, repo=folder, sources=[]).parameters == small_model.PARAMETERS


def test_a_damaged_file_is_never_loaded(folder) -> None:
    (weights,) = folder.glob("*.th")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=f"{re.escape(small_model.WEIGHTS)} is damaged"):
        load_model("htdemucs_mini", repo=folder, sources=[])
    assert weights.exists()  # it is the operator's
    assert not obtainable("htdemucs_mini", repo=folder, sources=[])


def test_a_folder_that_lacks_a_network_is_named(folder) -> None:
    (weights,) = folder.glob("*.th")
    weights.unlink()
    with pytest.raises(ModelUnavailable, match=rf"htdemucs_mini has no {small_model.SIGNATURE}\.th"):
        load_model("htdemucs_mini", repo=folder, sources=[])


def test_a_listing_that_is_none_is_named(folder) -> None:
    (folder / "htdemucs_mini.yaml").write_text("models: {")
    with pytest.raises(ModelUnavailable, match=r"htdemucs_mini\.yaml is not a list of models"):
        load_model("htdemucs_mini", repo=folder, sources=[])


@pytest.mark.parametrize("name", ["../htdemucs_mini", "a/../../b", "", "/etc/passwd", "a b", ".hidden"])
def test_a_name_is_never_a_path(name, folder) -> None:
    with pytest.raises(ModelUnavailable, match="is not a valid model name"):
        load_model(name, repo=folder, sources=[])


def test_a_bag_in_a_folder_keeps_its_weights_and_segment(tmp_path, export, kit) -> None:
    for seed in (1, 2):
        (tmp_path / f"net{seed}.safetensors").write_bytes(export(kit.tiny(["a", "b"], seed=seed)))
    (tmp_path / "duo.yaml").write_text("models: [net1, net2]\nweights: [[1., 0.], [0.5, 1.]]\nsegment: 1.25\n")
    model = load_model("duo", repo=tmp_path, sources=[])
    assert [part.weights for part in model.networks] == [(1.0, 0.0), (0.5, 1.0)]
    assert model.segment_samples == 1.25 * 44_100


def test_a_fetched_folder_serves_as_a_repository(folder, tmp_path) -> None:
    found = fetch("htdemucs_mini", tmp_path / "baked", repo=folder, sources=[])
    assert {path.name for path in (tmp_path / "baked" / "htdemucs_mini").iterdir()} == {
        "htdemucs_mini.yaml",
        small_model.WEIGHTS,
    }
    assert found.files[0].parent == tmp_path / "baked" / "htdemucs_mini"
    fetch("htdemucs_mini", tmp_path / "baked", repo=folder, sources=[])  # again: nothing doubles
    ours = load_model("htdemucs_mini", repo=tmp_path / "baked", sources=[]).networks[0].module.state_dict()
    theirs = load_model("htdemucs_mini", repo=folder, sources=[]).networks[0].module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_hub_and_mirror_the_error_comes_within_seconds_and_says_all(silent_url, tmp_path) -> None:
    sources = [Hub(silent_url, tmp_path / "hub"), Mirror(silent_url, tmp_path / "torch")]
    start = time.monotonic()
    with pytest.raises(ModelUnavailable) as error:
        load_model("htdemucs", repo=tmp_path, sources=sources)
    assert time.monotonic() - start < BUSY_SECONDS
    message = str(error.value)
    for named in (str(tmp_path), "Hugging Face cache", "torch's cache", f"the hub {silent_url}", "the mirror"):
        assert named in message
    assert "MSAAS_MODEL_REPO" in message
    assert "msaas models fetch htdemucs" in message


def test_a_name_that_the_catalogue_has_not_is_said_with_the_nearest(refusing_url, tmp_path) -> None:
    with pytest.raises(ModelUnavailable, match=r"the catalogue has no such model \(did you mean msaas_mini\?\)"):
        load_model("msas_mini", repo=tmp_path, sources=[Hub(refusing_url, tmp_path / "hub")])


def test_a_machine_without_network_knows_at_once(refusing_url, tmp_path) -> None:
    sources = [Hub(refusing_url, tmp_path / "hub"), Mirror(refusing_url, tmp_path / "torch")]
    start = time.monotonic()
    assert len(why_unobtainable("htdemucs", repo=None, sources=sources)) == 4
    assert time.monotonic() - start < BUSY_SECONDS


def test_without_a_home_folder_a_model_in_a_folder_loads_and_another_is_refused_with_what_mends_it(
    folder, refusing_url, monkeypatch
) -> None:
    """As in a container whose user has no name."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: {}["no such user"])
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "~/.cache/huggingface/hub")
    sources = [Hub(refusing_url), Mirror(refusing_url)]
    assert load_model("htdemucs_mini", repo=folder, sources=sources).parameters == small_model.PARAMETERS
    reasons = why_unobtainable("htdemucs", repo=None, sources=sources)
    assert ["to another path" in reason for reason in reasons] == [True, True, False, False]
    with pytest.raises(ModelUnavailable, match=r"HF_HOME to another path.*TORCH_HOME to another path"):
        load_model("htdemucs", repo=None, sources=sources)


def test_asking_what_is_obtainable_loads_no_torch(folder) -> None:
    code = (
        "import sys; from pathlib import Path; from msaas.separation.weights.loader import obtainable;"
        "print(obtainable('htdemucs_mini', repo=Path(sys.argv[1])), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False"]


def test_what_is_written_down_of_demucs_and_torch_still_holds() -> None:
    assert MIRROR_URL == ROOT_URL
    assert str(torch_hub_folder()) == torch.hub.get_dir() + "/checkpoints"
    for name in ("htdemucs", "htdemucs_ft", "htdemucs_6s", "mdx_extra_q", "hdemucs_mmi"):
        assert repository_of(name) == (f"adefossez/{hf_repo_name(name)}", name)
    assert repository_of("hf://someone/htdemucs_ft") == ("someone/HTDemucs-ft", "htdemucs_ft")


def test_a_model_fetched_into_its_own_folder_keeps_its_files(folder, tmp_path) -> None:
    (weights,) = folder.glob("*.th")
    weights.rename(folder / f"{small_model.SIGNATURE}.th")
    fetch("htdemucs_mini", tmp_path, repo=tmp_path, sources=[])
    assert {path.name for path in folder.iterdir() if path.suffix in (".th", ".yaml")} == {
        "htdemucs_mini.yaml",
        small_model.WEIGHTS,
    }
