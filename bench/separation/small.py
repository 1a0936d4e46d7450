"""How much faster the small models are than htdemucs, the networks alone: `python -m bench.separation.small`.

Seconds of audio a second, by each network's library and by the service's engine, of one segment without overlap. A
model of several networks runs them one after the other, so their times add up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from bench.separation.speed import ROOT, machine, seeded_htdemucs
from msaas.catalogue import catalogue
from msaas.separation.engines.engine import Engine, TorchEngine
from msaas.separation.engines.selection import choose_engine
from msaas.separation.model import LoadedModel, Network, from_demucs
from msaas.separation.weights.loader import load_model

CPU = torch.device("cpu")
ROUNDS = 5


@torch.inference_mode()
def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    models = [from_demucs("htdemucs", seeded_htdemucs())]
    models += [load_model(name, repo=ROOT / "models", sources=[]) for name in catalogue().shipped()]
    print(f"{machine()}\n\n| model | library, fp32 | ours, fp32 | ours, auto |\n|---|---|---|---|")
    for model in models:
        rates = [_rate(model, made) for made in (_library, _ours("fp32"), _ours("auto"))]
        print(f"| {model.name} | {' | '.join(f'{rate:.1f}' for rate in rates)} |", flush=True)


def _library(network: Network) -> Engine:
    return TorchEngine(network.module, CPU)


def _ours(precision: str) -> Callable[[Network], Engine]:
    return lambda network: choose_engine(network, CPU, precision)[0]


def _rate(model: LoadedModel, made: Callable[[Network], Engine]) -> float:
    """Seconds of audio a second."""
    return 1 / sum(_seconds(made(network), network, model) for network in model.networks)


def _seconds(engine: Engine, network: Network, model: LoadedModel) -> float:
    """For a second of audio, the median of ROUNDS."""
    segment = torch.randn(1, model.channels, network.segment_samples)
    engine.forward(segment)
    took = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        engine.forward(segment)
        took.append(time.monotonic() - began)
    return statistics.median(took) / (network.segment_samples / model.sample_rate)


if __name__ == "__main__":
    main()
