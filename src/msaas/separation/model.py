"""A loaded model: its sources and networks. Reads no files.

A plain Demucs is one network of weight 1. A bag (htdemucs_ft) is several, each weighted by source; a source's estimate
is Σ weight·output / Σ weight, as in demucs.apply.apply_model (demucs 4.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from demucs.apply import BagOfModels
from torch import nn

from msaas.errors import ModelUnavailable


@dataclass(frozen=True)
class Chunks:
    """The overlap-add of Music-Source-Separation-Training (MSST), as families.chunked has it."""

    overlaps: int  # chunks that cover each sample, MSST's num_overlap
    normalize: bool  # whether the song's mean and deviation are removed for the network


@dataclass(frozen=True)
class SourceOutput:
    """Where a source comes from: an output of the network, or (`rest`) the mixture without that output."""

    index: int
    rest: bool = False


@dataclass(frozen=True)
class Network:
    """One network of a model, of any family.

    The module maps [B, C, segment_samples] to [B, outputs, C, segment_samples] and has the attributes `samplerate` and
    `audio_channels`, as Demucs' modules do.
    """

    module: nn.Module
    segment_samples: int
    weights: tuple[float, ...]  # one per source of the model
    chunks: Chunks | None = None  # None: Demucs' overlap-add, normalised
    outputs: tuple[SourceOutput, ...] | None = None  # one per source of the model; None: the module's, in order
    max_segments: int | None = None  # per forward; None: as many as the device takes

    def output_of(self, source: int) -> SourceOutput:
        """Where the model's source of this index comes from; without meaning if its weight is 0."""
        return SourceOutput(source) if self.outputs is None else self.outputs[source]

    def valid_length(self, samples: int) -> int:
        """The input length that the network needs for `samples` of output (demucs.apply, split=False)."""
        own = getattr(self.module, "valid_length", None)
        return int(own(samples)) if own is not None else samples


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run. Sources, rate and channels are always read from it."""

    name: str
    sources: tuple[str, ...]
    sample_rate: int  # Hz
    channels: int
    segment_samples: int  # of the longest network
    networks: tuple[Network, ...]

    @property
    def complete(self) -> bool:
        """Whether its sources add up to the mixture: one of them is the mixture without the others."""
        outputs = self.networks[0].outputs or ()
        return len(self.networks) == 1 and any(output.rest for output in outputs)

    @cached_property
    def parameters(self) -> int:
        return sum(tensor.numel() for network in self.networks for tensor in network.module.parameters())

    @cached_property
    def parameter_bytes(self) -> int:
        """Of the weights as they were loaded."""
        tensors = (tensor for network in self.networks for tensor in network.module.parameters())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def release(self, network: Network) -> None:
        """Drops the weights of a network whose engine has its own. The module's settings stay."""
        self.parameters, self.parameter_bytes  # noqa: B018 - computed while all weights are there
        for name, parameter in network.module.named_parameters():
            if "position_embeddings" not in name:  # ChannelsLast asks the module for positions
                parameter.data = parameter.new_empty(0)

    def describe(self) -> dict[str, object]:
        """The model's properties, ready for JSON."""
        return {
            "name": self.name,
            "sources": list(self.sources),
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "segment_seconds": self.segment_samples / self.sample_rate,
            "parts": len(self.networks),
            "parameters": self.parameters,
        }


def from_demucs(name: str, model: nn.Module) -> LoadedModel:
    """Makes a LoadedModel of a Demucs network or a demucs.apply.BagOfModels.

    Raises ModelUnavailable for a bag in which a source has weight 0 in every network.
    """
    networks = tuple(_networks(model))
    sources = tuple(str(source) for source in _attribute(model, "sources"))
    for index, source in enumerate(sources):
        if sum(network.weights[index] for network in networks) == 0:
            raise ModelUnavailable(f"model {name!r} has weight 0 for its source {source!r}")
    return LoadedModel(
        name=name,
        sources=sources,
        sample_rate=int(_attribute(model, "samplerate")),
        channels=int(_attribute(model, "audio_channels")),
        segment_samples=max(network.segment_samples for network in networks),
        networks=networks,
    )


def _networks(model: nn.Module) -> Iterator[Network]:
    if not isinstance(model, BagOfModels):
        yield _network(model, [1.0] * len(_attribute(model, "sources")))
        return
    for module, weights in zip(model.models, model.weights, strict=True):
        yield _network(module, weights)


def _network(module: nn.Module, weights: Sequence[float]) -> Network:
    segment_samples = int(_attribute(module, "samplerate") * _attribute(module, "segment"))
    return Network(module.eval(), segment_samples, tuple(float(weight) for weight in weights))


def _attribute(module: nn.Module, name: str):  # type: ignore[no-untyped-def]
    # nn.Module types every attribute as Tensor | Module; Demucs keeps plain values there.
    return getattr(module, name)
