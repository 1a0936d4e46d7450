"""Makes a model's files out of a run: `python -m training.package --model NAME --run DIR --out DIR`.

htdemucs: the `.th` and the yaml of a bag, as Demucs loads them. scnet: the model's yaml in the layout of
Music-Source-Separation-Training and its weights as safetensors, as the service loads them. Weights are those averaged
over the last steps, in half precision.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from demucs.states import get_state, load_model, save_with_checksum
from safetensors.torch import load_file, save

from training.learning.recipe import RECIPES, Recipe, build_model
from training.score.notes import RATE, STEMS

SIGNATURE = "mini"  # of htdemucs_mini's file, which ends in its checksum
CHECKSUM_DIGITS = 8  # of the SHA-256 in a file's name, as Demucs has them
CHUNK_SECONDS = 6  # at a time in inference


def package(name: str, run: Path, out: Path) -> Path:
    """Writes the files of the model `name` into `out`. Returns the weights' path."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    return _WRITERS[state["recipe"]["family"]](name, state, out)


def packaged_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights of a file that `package` made, in float32. A `.th` is a pickle: it runs what is in it."""
    state = load_file(file) if file.suffix == ".safetensors" else load_model(file).state_dict()
    return {key: tensor.float() for key, tensor in state.items()}


def _htdemucs(name: str, state: dict[str, Any], out: Path) -> Path:
    model: Any = build_model(Recipe(**state["recipe"]))
    model.load_state_dict(state["average"])
    for old in out.glob(f"{SIGNATURE}*.th"):
        old.unlink()
    args, kwargs = model._init_args_kwargs
    content = {
        "klass": type(model),
        "args": args,
        "kwargs": kwargs,
        "state": get_state(model, quantizer=None, half=True),
        "training_args": {"recipe": state["recipe"], "steps": state["step"], "seconds": round(state["spent_seconds"])},
    }
    save_with_checksum(content, out / f"{SIGNATURE}.th")
    (out / f"{name}.yaml").write_text(f"models: ['{SIGNATURE}']\n")
    return next(out.glob(f"{SIGNATURE}-*.th"))


def _scnet(name: str, state: dict[str, Any], out: Path) -> Path:
    content = save({key: tensor.half().contiguous() for key, tensor in state["average"].items()})
    weights = out / f"{name}-{hashlib.sha256(content).hexdigest()[:CHECKSUM_DIGITS]}.safetensors"
    weights.write_bytes(content)
    for old in set(out.glob(f"{name}-*.safetensors")) - {weights}:
        old.unlink()
    config = {
        "family": "scnet",
        "audio": {"sample_rate": RATE, "num_channels": 2, "chunk_size": CHUNK_SECONDS * RATE},
        "model": {"sources": list(STEMS), "audio_channels": 2, **state["recipe"]["architecture"]},
        "training": {"instruments": list(STEMS), "target_instrument": None},
        "inference": {"num_overlap": 1, "normalize": True},
    }
    (out / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False, default_flow_style=None))
    return weights


_WRITERS: Mapping[str, Callable[[str, dict[str, Any], Path], Path]] = {"htdemucs": _htdemucs, "scnet": _scnet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=RECIPES, default="htdemucs_mini")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = package(options.model, options.run, options.out)
    print(f"{made.name}, {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
