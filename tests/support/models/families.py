"""Seeded networks of each family: small ones for quick tests, and the configurations that people use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from msaas.separation.families.config import FamilyConfig
from msaas.separation.families.networks import FamilyNetwork, build_network

VOCALS = {"instruments": ["vocals", "other"], "target_instrument": "vocals"}
FOUR = {"instruments": ["drums", "bass", "other", "vocals"], "target_instrument": None}
_ROFORMER = {"stereo": True, "num_stems": 1, "time_transformer_depth": 1, "freq_transformer_depth": 1}
_SMALL_ROFORMER = {**_ROFORMER, "dim": 16, "depth": 2, "dim_head": 8, "heads": 2, "mask_estimator_depth": 2}
_BANDS = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)
_MDX23C_AUDIO = {"dim_f": 4096, "hop_length": 1024, "n_fft": 8192, "num_channels": 2}
_MDX23C = {"act": "gelu", "bottleneck_factor": 4, "norm": "InstanceNorm", "num_subbands": 4, "scale": [2, 2]}


def _config(
    family: str, chunk: int, model: dict[str, Any], training: dict[str, Any], overlaps: int, **more: Any
) -> dict[str, Any]:
    return {
        "family": family,
        "audio": {"chunk_size": chunk, "sample_rate": 44_100, **more.get("audio", {})},
        "model": model,
        "training": training,
        "inference": {"num_overlap": overlaps, "normalize": more.get("normalize", False)},
    }


SMALL: dict[str, dict[str, Any]] = {
    "scnet": _config(
        "scnet",
        22_050,
        {"sources": FOUR["instruments"], "dims": [4, 8, 8, 16], "nfft": 1024, "hop_size": 256, "win_size": 1024}
        | {"num_dplayer": 2, "compress": 2},
        FOUR,
        4,
        normalize=True,
    ),
    "bs_roformer": _config(
        "bs_roformer", 22_050, {**_SMALL_ROFORMER, "stft_hop_length": 441, "freqs_per_bands": _BANDS}, VOCALS, 2
    ),
    "mel_band_roformer": _config(
        "mel_band_roformer", 22_050, {**_SMALL_ROFORMER, "stft_hop_length": 441, "num_bands": 60}, VOCALS, 2
    ),
    "mdx23c": _config(
        "mdx23c",
        15 * 512,
        {**_MDX23C, "growth": 4, "num_blocks_per_scale": 1, "num_channels": 8, "num_scales": 2},
        FOUR,
        4,
        audio={"dim_f": 512, "hop_length": 512, "n_fft": 1024, "num_channels": 2},
    ),
}

# configs/ of Music-Source-Separation-Training: config_musdb18_scnet, viperx/model_bs_roformer_ep_317,
# KimberleyJensen/config_vocals_mel_band_roformer_kj, config_musdb18_mdx23c.
REAL: dict[str, dict[str, Any]] = {
    "scnet": _config(
        "scnet",
        485_100,
        {"sources": FOUR["instruments"], "dims": [4, 32, 64, 128], "nfft": 4096, "hop_size": 1024, "win_size": 4096},
        FOUR,
        4,
        normalize=True,
    ),
    "bs_roformer": _config(
        "bs_roformer",
        352_800,
        {**_ROFORMER, "dim": 512, "depth": 12, "stft_hop_length": 441, "mask_estimator_depth": 2},
        VOCALS,
        2,
    ),
    "mel_band_roformer": _config(
        "mel_band_roformer",
        352_800,
        {**_ROFORMER, "dim": 384, "depth": 6, "stft_hop_length": 441, "mask_estimator_depth": 2, "num_bands": 60},
        VOCALS,
        2,
    ),
    "mdx23c": _config(
        "mdx23c",
        261_120,
        {**_MDX23C, "growth": 128, "num_blocks_per_scale": 2, "num_channels": 128, "num_scales": 5},
        FOUR,
        4,
        audio=_MDX23C_AUDIO,
    ),
}


def seeded_network(config: FamilyConfig, seed: int = 0, **more: Any) -> FamilyNetwork:
    torch.manual_seed(seed)
    return build_network(config, **more)


class _Dumper(yaml.Dumper):
    """Without aliases, which no configuration may have; with !!python/tuple for tuples."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def dumped(content: dict[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper)
    return text


def write_config(content: dict[str, Any], path: Path) -> FamilyConfig:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumped(content))
    return FamilyConfig.read(path, content["family"])


def write_model(folder: Path, name: str, content: dict[str, Any], seed: int = 0, suffix: str = ".ckpt") -> FamilyConfig:
    """Writes `<folder>/<name>/` as a model's folder: its configuration and a seeded checkpoint."""
    config = write_config(content, folder / name / f"{name}.yaml")
    torch.save(seeded_network(config, seed).network.state_dict(), folder / name / f"{name}{suffix}")
    return config
