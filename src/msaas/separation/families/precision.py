"""Half precision for the families' networks: by autocast, with what loses by it in float32.

Spectrograms, positions and the sums of residual branches stay in float32: pymss-core computes rotary positions in the
type of the layer, where bfloat16 cannot tell position 257 from 258 and float16 not the angle of a late frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_THETA_CACHE = "_pymss_cos_sin_cache"  # where pymss-core's attention looks rotary angles up


def keep_float32(network: Any) -> None:
    """Prepares a network for autocast; changes nothing in float32."""
    for module in network.modules():
        if type(module).__name__ == "RotaryEmbedding":
            setattr(module, _THETA_CACHE, ExactAngles(module))
        if type(module).__name__ == "Transformer":
            module.register_forward_pre_hook(_contiguous)
    for part in _float32_outputs(network):
        part.register_forward_hook(_to_float32)
    if hasattr(network, "_estimate_masks"):
        estimate = network._estimate_masks
        network._estimate_masks = lambda features: estimate(features).float()


def _float32_outputs(network: Any) -> list[nn.Module]:
    """The layers whose output goes into a spectrogram or a residual sum."""
    if hasattr(network, "band_split"):  # RoFormers
        return [network.band_split]
    if hasattr(network, "separation_net"):  # SCNet
        return [network.decoder[-1]]
    return [network.final_conv]  # MDX23C


def _contiguous(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # For a batch of one pymss-core passes a transposed view, which makes torch copy a layer's weights for each row.
    return tuple(tensor.contiguous() for tensor in inputs)


def _to_float32(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return output.float()


class ExactAngles:
    """Cosines and sines of a rotary embedding, computed in float32 and rounded once.

    Stands in for the dictionary in which pymss-core keeps what it computed.
    """

    def __init__(self, embedding: Any) -> None:
        self._embedding = embedding
        self._known: dict[Any, tuple[Tensor, Tensor]] = {}

    def get(self, key: tuple[int, str, int | None, torch.dtype]) -> tuple[Tensor, Tensor]:
        """key: number of positions, device type, device index, type of the result ([1, positions, 1, dim / 2])."""
        if key not in self._known:
            positions, kind, index, dtype = key
            frequencies = self._embedding.freqs.float()
            angles = torch.arange(positions, device=frequencies.device).float()[:, None] * frequencies
            angles = angles[None, :, None, :].to(torch.device(kind, index or 0) if index is not None else kind)
            self._known[key] = angles.cos().to(dtype), angles.sin().to(dtype)
        return self._known[key]

    def clear(self) -> None:
        self._known.clear()
