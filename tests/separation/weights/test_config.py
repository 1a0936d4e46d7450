"""The yaml beside a checkpoint: which family it is of, and what it may contain."""

from __future__ import annotations

from pathlib import Path

import pytest

from msaas.errors import ModelUnavailable
from msaas.separation.weights.config import read_yaml
from msaas.separation.weights.loader import load_model, locate
from msaas.separation.weights.sources import in_folder

MODEL_SECTIONS = {
    "bs_roformer": "{dim: 8, depth: 1, freqs_per_bands: !!python/tuple [2, 3]}",
    "mel_band_roformer": "{dim: 8, depth: 1, num_bands: 60}",
    "mdx23c": "{num_subbands: 4, num_scales: 5, num_blocks_per_scale: 2, bottleneck_factor: 4}",
    "scnet": "{band_SR: [0.2, 0.3, 0.5], band_stride: [1, 4, 16], band_kernel: [3, 4, 16]}",
}


@pytest.fixture
def place(tmp_path: Path):
    """Writes a model's yaml and an empty file of weights, flat or in a folder of its own."""

    def place(text: str, weights: str = "singer.ckpt", folder: str = "singer") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        (root / "singer.yaml").write_text(text)
        (root / weights).write_bytes(b"")
        return tmp_path

    return place


@pytest.mark.parametrize("folder", ["singer", "."])
@pytest.mark.parametrize("family", MODEL_SECTIONS)
def test_a_family_is_recognised_by_the_keys_of_its_network(family, folder, place) -> None:
    repo = place(f"audio: {{chunk_size: 1000}}\nmodel: {MODEL_SECTIONS[family]}\n", folder=folder)
    found = in_folder("singer", repo)
    assert found.family == family
    assert found.config == repo / folder / "singer.yaml"
    assert found.files == (repo / folder / "singer.ckpt",)
    assert locate("singer", repo=repo, sources=[]).obtainable


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pth", ".pt", ".th", "-e3b0c442.ckpt"])
def test_weights_may_have_each_usual_suffix_and_a_checksum(suffix, place) -> None:
    found = in_folder("singer", place("model: {num_bands: 60}", f"singer{suffix}"))
    assert found.files[0].name == f"singer{suffix}"


@pytest.mark.parametrize("where", ["family: scnet\n", "model_type: scnet\n", "training: {model_type: scnet}\n"])
def test_a_named_family_wins_over_the_keys(where, place) -> None:
    assert in_folder("singer", place(f"{where}model: {{num_bands: 60}}\n")).family == "scnet"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("family: apollo\nmodel: {}\n", "'apollo' is not supported; use one of bs_roformer, mdx23c"),
        ("model: {dim: 8}\n", "add a line `family: NAME`"),
        ("model: {num_bands: 60, time_conformer_depth: 1}\n", "add a line `family: NAME`"),
        ("model: {num_bands: 60, freqs_per_bands: [1]}\n", "add a line `family: NAME`"),
        ("model: htdemucs\n", "add a line `family: NAME`"),
    ],
)
def test_a_configuration_of_no_known_family_is_refused(text, message, place) -> None:
    repo = place(text)
    with pytest.raises(ModelUnavailable, match=rf"singer\.yaml: .*{message}"):
        load_model("singer", repo=repo, sources=[])
    assert message in locate("singer", repo=repo, sources=[]).reasons[0]


def test_weights_without_their_configuration_are_named(place, tmp_path) -> None:
    place("model: {}")
    (tmp_path / "singer" / "singer.yaml").unlink()
    with pytest.raises(ModelUnavailable, match=r"has singer\.ckpt, but not its configuration singer\.yaml"):
        load_model("singer", repo=tmp_path, sources=[])


def test_a_configuration_without_weights_is_named(place, tmp_path) -> None:
    place("model: {num_bands: 60}", "other.ckpt")
    with pytest.raises(ModelUnavailable, match=r"has no singer\.safetensors, \.ckpt, \.pth, \.pt or \.th"):
        load_model("singer", repo=tmp_path, sources=[])


@pytest.mark.parametrize(
    "tag", ["python/object/apply:os.system ['touch ran']", "python/name:os.system", "python/tuple {a: 1}", "unknown 1"]
)
def test_a_configuration_runs_no_code(tag, place, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    repo = place(f"model: {{num_bands: 60, x: !!{tag}}}\n")
    with pytest.raises(ModelUnavailable, match=r"singer\.yaml is not a list of models or a configuration"):
        load_model("singer", repo=repo, sources=[])
    assert not (tmp_path / "ran").exists()


def test_tuples_and_plain_exponents_are_read(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "sizes: !!python/tuple\n- 4096\n- !!python/tuple [1, 2]\nlr: 1e-05\nother: 1.0e-05\nname: 955717e8\n"
    )
    assert read_yaml(path) == {"sizes": (4096, (1, 2)), "lr": 1e-05, "other": 1e-05, "name": "955717e8"}
