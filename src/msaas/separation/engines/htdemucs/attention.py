"""Attention of many heads: by torch's fused kernel, or composed of matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from msaas.separation.engines.htdemucs.common import require
from msaas.separation.engines.htdemucs.kernels import composed_attention, fused_attention
from msaas.separation.engines.htdemucs.products import Weights


class Attention:
    """nn.MultiheadAttention, of tokens on themselves or (`crosses`) on those of the other branch."""

    def __init__(self, module: nn.MultiheadAttention, weights: Weights, *, crosses: bool) -> None:
        require(module.in_proj_weight is not None and module.bias_k is None, "an unusual kind of attention")
        self._heads, channels = module.num_heads, module.embed_dim
        weight, bias = module.in_proj_weight.detach(), module.in_proj_bias.detach()
        self._attend: Callable[[Tensor, Tensor, Tensor], Tensor] = fused_attention
        if weights.kernels.composed_attention:
            weight, bias = _scaled(weight, bias, channels, self._heads)
            self._attend = partial(composed_attention, compiled=weights.kernels.compiled)
        ranges = ((0, 1), (1, 3)) if crosses else ((0, 3),)
        self._projections = [
            (
                last - first,
                weights.token_linear(
                    weight[first * channels : last * channels], bias[first * channels : last * channels]
                ),
            )
            for first, last in ranges
        ]
        self._out = weights.token_linear(module.out_proj.weight, module.out_proj.bias)

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        """[B, N, C], [B, M, C] ▸ [B, N, C]. Without `crosses`, `other` is not used."""
        inputs = (x, other)[: len(self._projections)]
        query, key, value = (
            part
            for (parts, project), tokens in zip(self._projections, inputs, strict=True)
            for part in torch.unflatten(project(tokens), -1, (parts, self._heads, -1)).permute(2, 0, 3, 1, 4)
        )  # [B, heads, tokens, C / heads]
        return self._out(self._attend(query, key, value).flatten(2))


def _scaled(weight: Tensor, bias: Tensor, channels: int, heads: int) -> tuple[Tensor, Tensor]:
    """The projection with 1/√(channels of a head) in its queries, and without the keys' bias, which has no effect."""
    weight, bias = weight.float().clone(), bias.float().clone()
    weight[:channels] *= (channels // heads) ** -0.5
    bias[:channels] *= (channels // heads) ** -0.5
    bias[channels : 2 * channels] = 0
    return weight, bias
