"""Weights from a stand-in for Meta's mirror on loopback."""

from __future__ import annotations

import re

import pytest

from msaas.errors import ModelUnavailable
from msaas.separation.weights import mirror as mirror_module
from msaas.separation.weights.hub import Hub
from msaas.separation.weights.loader import load_model, obtainable
from msaas.separation.weights.mirror import Mirror
from tests.support.models import small_model

WEIGHTS = small_model.WEIGHTS
ADDRESS = f"/demucs/small/{WEIGHTS}"


@pytest.fixture
def mirror(server, kit, tmp_path, monkeypatch) -> Mirror:
    """A mirror of htdemucs_mini, listed as Demucs lists its own."""
    listing = tmp_path / "remote"
    listing.mkdir()
    (listing / "files.txt").write_text(f"# Small models\nroot: small/\n{WEIGHTS}\n")
    (listing / "htdemucs_mini.yaml").write_text(f"models: ['{small_model.SIGNATURE}']\n")
    monkeypatch.setattr(mirror_module, "_package_folder", lambda: listing)
    monkeypatch.setattr("msaas.separation.weights.download.time.sleep", lambda seconds: None)
    server.files[ADDRESS] = (kit.MODELS / "htdemucs_mini" / WEIGHTS).read_bytes()
    return Mirror(f"{server.url}/demucs", tmp_path / "torch")


@pytest.mark.parametrize("name", ["htdemucs_mini", small_model.SIGNATURE])
def test_a_model_loads_from_the_mirror(name, mirror, tmp_path) -> None:
    assert obtainable(name, repo=None, sources=[mirror])
    assert load_model(name, repo=None, sources=[mirror]).parameters == small_model.PARAMETERS
    assert [path.name for path in (tmp_path / "torch").iterdir()] == [WEIGHTS]


def test_the_mirror_stands_in_where_there_is_no_hub(mirror, refusing_url, tmp_path) -> None:
    sources = [Hub(refusing_url, tmp_path / "hub"), mirror]
    assert load_model("htdemucs_mini", repo=None, sources=sources).parameters == small_model.PARAMETERS


def test_a_model_is_downloaded_once(mirror, server) -> None:
    load_model("htdemucs_mini", repo=None, sources=[mirror])
    server.asked.clear()
    load_model("htdemucs_mini", repo=None, sources=[mirror])
    assert server.asked == []


def test_an_interrupted_download_goes_on_where_it_stopped(mirror, server) -> None:
    server.break_after[ADDRESS] = [1_000_000, 500_000]
    assert load_model("htdemucs_mini", repo=None, sources=[mirror]).parameters == small_model.PARAMETERS
    assert server.gets(WEIGHTS) == 4  # the probe's one byte and three parts


def test_a_download_that_never_ends_well_leaves_nothing(mirror, server, tmp_path) -> None:
    server.break_after[ADDRESS] = [1000] * 20
    with pytest.raises(ModelUnavailable, match="failed 5 times"):
        load_model("htdemucs_mini", repo=None, sources=[mirror])
    assert list((tmp_path / "torch").iterdir()) == []


def test_a_wrong_checksum_is_refused_and_the_file_deleted(mirror, server, tmp_path) -> None:
    server.files[ADDRESS] = server.files[ADDRESS][:-1] + b"!"
    with pytest.raises(ModelUnavailable, match=f"{re.escape(WEIGHTS)} is damaged.*deleted"):
        load_model("htdemucs_mini", repo=None, sources=[mirror])
    assert list((tmp_path / "torch").iterdir()) == []


def test_a_cached_model_loads_without_a_mirror(mirror, refusing_url, tmp_path) -> None:
    load_model("htdemucs_mini", repo=None, sources=[mirror])
    away = Mirror(refusing_url, tmp_path / "torch")
    assert load_model("htdemucs_mini", repo=None, sources=[away]).parameters == small_model.PARAMETERS


def test_a_model_the_mirror_never_had_is_told(mirror) -> None:
    with pytest.raises(ModelUnavailable, match="has no model 'nobody'"):
        load_model("nobody", repo=None, sources=[mirror])


def test_a_cache_that_cannot_be_written_is_named(mirror, server, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file" / "torch"))
    place = Mirror(f"{server.url}/demucs")
    with pytest.raises(ModelUnavailable, match=r"file/torch/hub/checkpoints: Not a directory\. To fix it"):
        load_model("htdemucs_mini", repo=None, sources=[place])


def test_demucs_own_list_of_files_is_understood(tmp_path) -> None:
    mirror = Mirror("http://127.0.0.1:9/demucs", tmp_path)
    manifest, addresses = mirror._manifest_and_urls("htdemucs_ft")
    assert manifest.signatures == ("f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d")
    assert manifest.weights[0] == [1.0, 0.0, 0.0, 0.0]
    assert addresses[0] == "http://127.0.0.1:9/demucs/hybrid_transformer/f7e0c4bc-ba3fe64a.th"
