"""Makes one model of several of any families: their networks side by side, blended by source and weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from msaas.errors import ModelUnavailable
from msaas.separation.model import LoadedModel, Network, SourceOutput
from msaas.separation.weights.ensemble import Member


def blend(name: str, parts: Sequence[tuple[Member, LoadedModel]], path: Path) -> LoadedModel:
    """A model whose stem is the mean of its members' stems, weighted by `Member.weight_of`.

    Its sources are those that have a weight in any member, in the order in which they first appear. Raises
    ModelUnavailable if rates or channels differ, or if a weight is for a source that its member does not have.
    """
    first = parts[0][1]
    for member, model in parts:
        if (model.sample_rate, model.channels) != (first.sample_rate, first.channels):
            raise ModelUnavailable(
                f"{path}: {member.model} has {model.sample_rate} Hz and {model.channels} channels, "
                f"{parts[0][0].model} {first.sample_rate} Hz and {first.channels}"
            )
        for source in member.weights or ():
            if source not in model.sources:
                raise ModelUnavailable(
                    f"{path}: {member.model} has no source {source!r}; it has {', '.join(model.sources)}"
                )
    sources = tuple(
        dict.fromkeys(source for member, model in parts for source in model.sources if member.weight_of(source))
    )
    if not sources:
        raise ModelUnavailable(f"{path}: all weights are 0")
    return replace(
        first,
        name=name,
        sources=sources,
        segment_samples=max(model.segment_samples for _, model in parts),
        networks=tuple(network for member, model in parts for network in _networks(member, model, sources)),
    )


def _networks(member: Member, model: LoadedModel, sources: Sequence[str]) -> Iterator[Network]:
    """The member's networks, with weights and outputs for the ensemble's sources."""
    for network in model.networks:
        yield replace(
            network,
            weights=tuple(_weight(member, model, network, source) for source in sources),
            outputs=tuple(_output(model, network, source) for source in sources),
        )


def _weight(member: Member, model: LoadedModel, network: Network, source: str) -> float:
    """The network's share in the member's source, times the member's weight."""
    if source not in model.sources:
        return 0.0
    index = model.sources.index(source)
    return member.weight_of(source) * network.weights[index] / sum(each.weights[index] for each in model.networks)


def _output(model: LoadedModel, network: Network, source: str) -> SourceOutput:
    # Any output will do where the weight is 0.
    return network.output_of(model.sources.index(source)) if source in model.sources else SourceOutput(0)
