"""Weights that stay in their file, mapped, give the same engines; a network is built without drawing weights first."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from demucs.hf import load_safetensors_model
from demucs.htdemucs import HTDemucs

from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.engines.selection import EngineChoice, engine_of
from msaas.separation.weights import build
from msaas.separation.weights.loader import load_model

CPU = torch.device("cpu")
SEGMENT = 44_100


@pytest.fixture
def repo(tmp_path, kit, export):
    """A folder with the model `small` in this precision, and its file."""

    def repo(dtype: torch.dtype, **how) -> tuple[Path, Path]:
        kwargs = {"channels": 8, "t_layers": 3, "t_heads": 2, "segment": 1, **how}
        network = kit.seeded(lambda: HTDemucs(sources=["a", "b"], **kwargs))
        path = tmp_path / "small.safetensors"
        path.write_bytes(export(network.to(dtype)))
        return tmp_path, path

    return repo


def load(folder: Path, *, mapped: bool):
    return load_model("small", repo=folder, sources=[], mapped=mapped).networks[0]


@pytest.mark.parametrize("how", [{}, {"t_emb": "scaled", "t_max_positions": 4096}, {"bottom_channels": 16}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_weights_are_those_of_the_file(dtype, how, repo) -> None:
    folder, path = repo(dtype, **how)
    want = load_safetensors_model(path)
    for mapped in (False, True):
        module = load(folder, mapped=mapped).module
        assert {tensor.dtype for tensor in module.state_dict().values()} == {dtype if mapped else torch.float32}
        found = module.state_dict()
        assert list(found) == list(want.state_dict())
        assert all(torch.equal(found[name].float(), tensor) for name, tensor in want.state_dict().items())
        assert module.training == want.eval().training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_engines_of_mapped_weights_are_those_of_loaded_ones(dtype, repo) -> None:
    folder, _ = repo(torch.float16)
    mix = torch.randn(1, 2, SEGMENT, generator=torch.Generator().manual_seed(1))
    loaded, mapped = load(folder, mapped=False), load(folder, mapped=True)
    want = ChannelsLast(loaded.module, CPU, dtype)(mix)
    precision = {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
    engine = engine_of(mapped, CPU, EngineChoice("channels_last", precision, 50.0))
    assert torch.equal(engine.forward(mix), want)
    own = engine_of(mapped, CPU, EngineChoice("module", "fp32", None)).forward(mix)
    with torch.inference_mode():
        assert torch.equal(own, loaded.module(mix))


def test_a_file_that_changes_does_not_change_float32_weights(repo) -> None:
    folder, path = repo(torch.float32)
    module = load(folder, mapped=True).module
    before = [tensor.clone() for tensor in module.state_dict().values()]
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\0" * 10_000)
    assert all(torch.equal(*pair) for pair in zip(before, module.state_dict().values(), strict=True))


def test_a_network_that_cannot_be_built_so_is_loaded_as_demucs_does(repo, monkeypatch) -> None:
    folder, path = repo(torch.float16)

    def fails(_package):
        raise NotImplementedError("a constructor that looks at its weights")

    monkeypatch.setattr(build, "_built", fails)
    found, want = load(folder, mapped=True).module.state_dict(), load_safetensors_model(path).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in want.items())


def test_nothing_is_drawn(repo) -> None:
    folder, _ = repo(torch.float16)
    before = torch.get_rng_state()
    with warnings.catch_warnings(action="error"):
        load(folder, mapped=True)
    assert torch.equal(torch.get_rng_state(), before)
