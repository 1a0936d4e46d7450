"""Weights from a stand-in for the Hugging Face hub on loopback."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from demucs.pretrained import get_model

from msaas.errors import ModelUnavailable
from msaas.separation.weights.hub import Hub
from msaas.separation.weights.loader import fetch, load_model, obtainable, why_unobtainable
from tests.support.models import small_model

COMMIT = "c0ffee" * 6 + "beef"
REPOSITORY = "adefossez/HTDemucs"
WEIGHTS = "955717e8.safetensors"


@pytest.fixture
def publish(server):
    """Puts a file on the hub, large ones as the hub does: by their sha256."""

    def publish(file: str, content: bytes, sha256: str | None = None) -> str:
        path = f"/{REPOSITORY}/resolve/main/{file}"
        server.files[path] = content
        if file.endswith(".yaml"):
            etag = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            linked = {}
        else:
            etag = sha256 or hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        server.headers[path] = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, **linked}
        return path

    return publish


@pytest.fixture
def network(kit):
    return get_model("htdemucs_mini", repo=kit.MODELS / "htdemucs_mini").models[0]


@pytest.fixture
def weights(publish, export, network) -> str:
    """htdemucs_mini stands on the hub as htdemucs; the path of its weights."""
    publish("htdemucs.yaml", b"models: ['955717e8']\n")
    return publish(WEIGHTS, export(network))


@pytest.fixture
def hub(server, tmp_path) -> Hub:
    return Hub(server.url, tmp_path / "cache")


def test_a_model_loads_from_the_hub(hub, weights, network) -> None:
    assert obtainable("htdemucs", repo=None, sources=[hub])
    model = load_model("htdemucs", repo=None, sources=[hub])
    state = model.networks[0].module.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_a_model_is_downloaded_once(hub, weights, server) -> None:
    load_model("htdemucs", repo=None, sources=[hub])
    server.asked.clear()
    load_model("htdemucs", repo=None, sources=[hub])
    assert server.asked == []


def test_an_interrupted_download_goes_on_where_it_stopped(hub, weights, server) -> None:
    server.break_after[weights] = [1_000_000]
    load_model("htdemucs", repo=None, sources=[hub])
    assert server.break_after[weights] == []
    assert server.gets(WEIGHTS) == 3  # the probe's one byte, the first part, the rest


def test_a_file_that_is_not_what_the_hub_says_is_refused_and_deleted(
    hub, publish, export, network, tmp_path, server
) -> None:
    publish("htdemucs.yaml", b"models: ['955717e8']\n")
    content = export(network)
    publish(WEIGHTS, content, sha256=hashlib.sha256(b"something else").hexdigest())
    with pytest.raises(ModelUnavailable, match=r"955717e8\.safetensors has the checksum .* but the hub has"):
        load_model("htdemucs", repo=None, sources=[hub])
    large = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size > 1e6]
    assert large == []
    publish(WEIGHTS, content)  # the hub is mended
    assert load_model("htdemucs", repo=None, sources=[hub]).parameters == small_model.PARAMETERS


def test_a_cache_that_went_bad_is_downloaded_again(hub, weights, tmp_path, server) -> None:
    load_model("htdemucs", repo=None, sources=[hub])
    (pointer,) = (tmp_path / "cache").rglob(WEIGHTS)
    with pointer.resolve().open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"\xff" * 64)
    server.asked.clear()
    assert load_model("htdemucs", repo=None, sources=[hub]).parameters == small_model.PARAMETERS
    assert server.gets(WEIGHTS) >= 1


def test_a_cached_model_loads_without_a_hub(hub, weights, refusing_url, tmp_path) -> None:
    load_model("htdemucs", repo=None, sources=[hub])
    away = Hub(refusing_url, tmp_path / "cache")
    assert obtainable("htdemucs", repo=None, sources=[away])
    assert load_model("htdemucs", repo=None, sources=[away]).parameters == small_model.PARAMETERS


def test_a_hub_without_the_model_is_told_from_no_hub(hub, weights) -> None:
    with pytest.raises(ModelUnavailable, match="404"):
        load_model("htdemucs_ft", repo=None, sources=[hub])


def test_a_hub_whose_large_files_cannot_be_reached_is_no_hub(hub, weights, server, refusing_url) -> None:
    server.headers[weights]["Location"] = f"{refusing_url}/blob"
    reasons = why_unobtainable("htdemucs", repo=None, sources=[hub])
    assert f"the hub {server.url}: ConnectError" in reasons[-1]


def test_a_class_that_is_no_network_is_never_called(hub, publish, export, network) -> None:
    publish("htdemucs.yaml", b"models: ['955717e8']\n")
    publish(WEIGHTS, export(network, klass="subprocess.getoutput"))
    with pytest.raises(ModelUnavailable, match=r"subprocess\.getoutput"):
        load_model("htdemucs", repo=None, sources=[hub])


def test_a_model_from_the_hub_is_fetched_into_a_folder(hub, weights, server, tmp_path) -> None:
    digits = hashlib.sha256(server.files[weights]).hexdigest()[:8]
    fetch("htdemucs", tmp_path / "baked", sources=[hub])
    assert {path.name for path in (tmp_path / "baked" / "htdemucs").iterdir()} == {
        "htdemucs.yaml",
        f"955717e8-{digits}.safetensors",
    }
    assert load_model("htdemucs", repo=tmp_path / "baked", sources=[]).parameters == small_model.PARAMETERS


@pytest.mark.slow
def test_hf_endpoint_counts_and_demucs_own_loading_gives_the_same(weights, server, tmp_path) -> None:
    code = (
        "import torch; from demucs.pretrained import get_model; from msaas.separation.weights.loader import load_model;"
        "ours = load_model('htdemucs', repo=None).networks[0].module.state_dict();"
        "theirs = get_model('htdemucs').models[0].state_dict();"
        "print(len(theirs), all(torch.equal(ours[name], theirs[name]) for name in theirs))"
    )
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split()[1] == "True", answer.stderr
    assert server.gets(WEIGHTS) == 2  # the probe's one byte and ours; Demucs found it in the cache
