"""How much faster the small model is than the full one, the models alone: `python -m bench.separation.small`.

Seconds of audio a second, by Demucs' own forward and by ours, each on a segment of its own length.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from bench.separation.speed import ROOT, machine, seeded_htdemucs
from msaas.separation.engines.htdemucs import ChannelsLast
from msaas.separation.model import from_demucs
from msaas.separation.weights.loader import load_model

ROUNDS = 5


@torch.inference_mode()
def main() -> None:
    full = from_demucs("htdemucs", seeded_htdemucs())
    small = load_model("htdemucs_mini", repo=ROOT / "models", sources=[])
    print(f"{machine()}\n\n| | htdemucs | htdemucs_mini | ratio |\n|---|---|---|---|")
    for name, made in (("Demucs' forward", lambda module: module), ("ours", _ours)):
        rates = [
            _rate(made(model.networks[0].module), model.segment_samples / model.sample_rate) for model in (full, small)
        ]
        print(f"| {name} | {rates[0]:.2f} | {rates[1]:.2f} | {rates[1] / rates[0]:.1f} |", flush=True)


def _ours(module: torch.nn.Module) -> ChannelsLast:
    return ChannelsLast(module, torch.device("cpu"))


def _rate(forward: Callable[[torch.Tensor], torch.Tensor], seconds: float) -> float:
    segment = torch.randn(1, 2, int(seconds * 44_100))
    forward(segment)
    took = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        forward(segment)
        took.append(time.monotonic() - began)
    return seconds / statistics.median(took)


if __name__ == "__main__":
    argparse.ArgumentParser(description="Compares the speed of the small and the full model.").parse_args()
    main()
