"""What is trained, and how: every number of the recipe. Reads nothing, trains nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from demucs.htdemucs import HTDemucs
from demucs.transformer import LayerScale as AttentionScale
from torch import nn

from training.score.notes import RATE, STEMS

# HTDemucs' own starts (1e-3 for its residual branches, 1e-4 for attention) suit runs of a hundred thousand steps:
# in some thousands those branches would hardly wake.
RESIDUAL_SCALE = 0.1


@dataclass(frozen=True)
class Recipe:
    """One run. `architecture` has the arguments of the family's network, apart from the sources and the audio format.

    family: a key of BUILDERS.
    """

    family: str
    architecture: dict[str, Any]
    seed: int = 20
    segment_seconds: float = 3.0
    examples_a_step: int = 1
    learning_rate: float = 1e-3
    muon_rate: float = 0.02
    muon_decay: float = 0.2
    clip_norm: float = 5.0
    warm_up: float = 0.02  # share of the run
    decay_from: float = 0.1  # share of the run after which the rate falls straight to nothing
    ema: float = 0.999
    bfloat16: bool = False  # on a CPU too
    spectral_weight: float = 0.5

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


HTDEMUCS = Recipe(
    "htdemucs",
    {
        "channels": 40,
        "depth": 3,
        "kernel_size": 16,
        "stride": 8,
        "t_layers": 1,
        "t_heads": 4,
        "bottom_channels": 0,
        "dconv_init": RESIDUAL_SCALE,
        "cac": False,
        "wiener_iters": -1,
        "end_iters": -1,
        "segment": 4,
    },
)
SCNET = Recipe(
    "scnet",
    {
        "dims": [4, 32, 64, 96],
        "band_stride": [2, 4, 16],
        "band_kernel": [4, 4, 16],
        "conv_depths": [2, 1, 1],
        "num_dplayer": 4,
    },
)
RECIPES: Mapping[str, Recipe] = {"htdemucs_mini": HTDEMUCS, "scnet_mini": SCNET}


def build_model(recipe: Recipe) -> nn.Module:
    """A new network, seeded: [B, 2, samples] ▸ [B, 4, 2, samples] in the order of STEMS."""
    torch.manual_seed(recipe.seed)
    return BUILDERS[recipe.family](recipe.architecture)


def _htdemucs(architecture: dict[str, Any]) -> nn.Module:
    model = HTDemucs(sources=list(STEMS), audio_channels=2, samplerate=RATE, **architecture)
    for module in model.modules():
        if isinstance(module, AttentionScale):
            module.scale.data.fill_(RESIDUAL_SCALE)
    return model


def _scnet(architecture: dict[str, Any]) -> nn.Module:
    """pymss-core's, which the service runs too."""
    from pymss_core.modules.scnet import SCNet

    warnings.filterwarnings("ignore", message="A window was not provided")  # as SCNet is defined
    return SCNet(sources=list(STEMS), audio_channels=2, **architecture)


BUILDERS: Mapping[str, Callable[[dict[str, Any]], nn.Module]] = {"htdemucs": _htdemucs, "scnet": _scnet}


def rate_at(recipe: Recipe, share: float) -> float:
    """The learning rate's factor, 0 … 1, when so much of the run is over: up, level, then straight down."""
    if share < recipe.warm_up:
        return share / recipe.warm_up
    if share < recipe.decay_from:
        return 1.0
    return max(0.0, (1.0 - share) / (1.0 - recipe.decay_from))
