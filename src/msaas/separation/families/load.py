"""Makes a model of a network of a family beside Demucs: its configuration and its checkpoint."""

from __future__ import annotations

from pathlib import Path

from msaas.separation.families.checkpoint import load_weights
from msaas.separation.families.config import FamilyConfig
from msaas.separation.families.networks import FamilyNetwork, build_network
from msaas.separation.model import Chunks, LoadedModel, Network, SourceOutput


def load_family(name: str, family: str, config: Path, weights: Path) -> LoadedModel:
    """Raises ModelUnavailable if the configuration is invalid, or if the checkpoint does not fit it or is refused."""
    settings = FamilyConfig.read(config, family)
    module = build_network(settings)
    load_weights(module.network, weights)
    return from_family(name, settings, module)


def from_family(name: str, config: FamilyConfig, module: FamilyNetwork) -> LoadedModel:
    outputs = [SourceOutput(index) for index in range(len(config.instruments))]
    if config.rest is not None:
        outputs.append(SourceOutput(0, rest=True))
    network = Network(
        module,
        config.chunk_samples,
        weights=(1.0,) * len(outputs),
        chunks=Chunks(config.overlaps, config.normalize),
        outputs=tuple(outputs),
        max_segments=module.max_segments,
    )
    return LoadedModel(
        name=name,
        sources=config.sources,
        sample_rate=config.sample_rate,
        channels=module.audio_channels,
        segment_samples=config.chunk_samples,
        networks=(network,),
    )
