"""Which models are on this machine: without reading their files, and without a network."""

from __future__ import annotations

import shutil

import pytest

from msaas.separation.weights.catalogue import CatalogueMirrors
from msaas.separation.weights.hub import Hub
from msaas.separation.weights.mirror import Mirror
from msaas.separation.weights.on_disk import all_held, held, names_in

CONFIG = "audio: {sample_rate: 44100}\nmodel: {band_SR: [1], band_stride: [1], band_kernel: [3]}\n"


@pytest.fixture(autouse=True)
def _caches_of_this_test(monkeypatch, tmp_path, refusing_url):
    def sources(_name):
        return [
            Hub(refusing_url, tmp_path / "hub"),
            Mirror(refusing_url, tmp_path / "torch"),
            CatalogueMirrors(tmp_path / "cache"),
        ]

    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", sources)


def model(folder, name, suffix=".ckpt"):
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.yaml").write_text(CONFIG)
    (folder / name / f"{name}{suffix}").write_bytes(b"weights")


def test_a_folders_models_are_its_yaml_files_and_the_subfolders_with_files_of_their_name(tmp_path, kit):
    model(tmp_path, "mine")
    shutil.copytree(kit.MODELS / "htdemucs_mini", tmp_path / "htdemucs_mini")
    (tmp_path / "flat.yaml").write_text("models: [net]\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "a name.yaml").touch()
    assert set(names_in(tmp_path)) == {"mine", "htdemucs_mini", "flat"}
    assert names_in(tmp_path / "no such folder") == ()


def test_all_that_is_held_and_may_be_used_is_found(tmp_path, kit, licences):
    repo = tmp_path / "repo"
    model(repo, "mine")
    model(repo, "scnet_xl_ihf")
    model(tmp_path / "cache", "scnet_large")
    (repo / "incomplete.yaml").write_text(CONFIG)
    shutil.copytree(kit.MODELS / "htdemucs_mini", repo / "htdemucs_mini")
    assert set(all_held(repo)) == {"htdemucs_mini", "scnet_large", "mine"}
    assert set(all_held(repo, licences("scnet_xl_ihf"))) == {"htdemucs_mini", "scnet_large", "mine", "scnet_xl_ihf"}
    assert all_held(None) == ("scnet_large",)


def test_demucs_models_in_torchs_cache_are_held_and_where_they_are_is_said(tmp_path):
    (tmp_path / "torch").mkdir()
    assert held("htdemucs", repo=None) == ""
    (tmp_path / "torch" / "955717e8-8726e21a.th").write_bytes(b"not read")
    assert held("htdemucs", repo=None) == f"torch's cache {tmp_path / 'torch'}"
    assert all_held(None) == ("htdemucs",)
    assert held("../htdemucs", repo=None) == ""


def test_the_catalogue_names_the_files_of_demucs_as_demucs_does():
    from msaas.catalogue import catalogue

    mirror = Mirror()
    for entry in catalogue().entries.values():
        if entry.family == "demucs" and entry.name != "htdemucs_mini":
            _, addresses = mirror._manifest_and_urls(entry.name)
            assert {file.urls[-1] for file in entry.weights} == set(addresses)
