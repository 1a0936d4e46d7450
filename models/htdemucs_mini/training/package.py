"""Makes the files that Demucs loads out of a run: `python -m training.package --run DIR --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from demucs.states import get_state, save_with_checksum

from training.learning.recipe import Recipe, build_model

NAME, SIGNATURE = "htdemucs_mini", "mini"


def package(run: Path, out: Path) -> Path:
    """Weights (averaged over the last steps, half precision) and the bag's yaml. Returns the weights' path."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = build_model(Recipe(**state["recipe"]))
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
    (out / f"{NAME}.yaml").write_text(f"models: ['{SIGNATURE}']\n")
    return next(out.glob(f"{SIGNATURE}-*.th"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = package(options.run, options.out)
    print(f"{made.name}, {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
