"""HTDemucs' cross-domain transformer. Tokens are [B, N, C] in both branches.

The residual stream (the tokens) is float32 throughout: ten sums rounded to bfloat16 would cost some 10 dB of fidelity.
Matrix products use the type of the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from demucs.transformer import (
    CrossTransformerEncoder,
    CrossTransformerEncoderLayer,
    MyTransformerEncoderLayer,
    create_2d_sin_embedding,
)
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.attention import Attention
from msaas.separation.engines.htdemucs.common import Norm, require
from msaas.separation.engines.htdemucs.products import Weights
from msaas.separation.interrupt import check


class Transformer:
    """demucs.transformer.CrossTransformerEncoder: a frequency and a time branch with alternating self- and
    cross-attention."""

    def __init__(self, module: CrossTransformerEncoder, weights: Weights) -> None:
        require(module.emb != "sin" or module.sin_random_shift == 0, "random positional embeddings")
        self._module, self._device = module, weights.device
        self._norms = _TokenNorm(module.norm_in, weights), _TokenNorm(module.norm_in_t, weights)
        self._layers = [
            (_Layer(one, weights), _Layer(other, weights))
            for one, other in zip(module.layers, module.layers_t, strict=True)
        ]
        self._positions: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Tensor, xt: Tensor, bands: int) -> tuple[Tensor, Tensor]:
        """x: [B, T · bands, C], times first. xt: [B, T', C]."""
        embedding, embedding_t = self._embeddings(x.shape[1] // bands, bands, xt.shape[1], x.shape[2])
        x, xt = self._norms[0](x.float()) + embedding, self._norms[1](xt.float()) + embedding_t
        for layer, layer_t in self._layers:
            check()
            if layer.crosses:
                x, xt = layer(x, xt), layer_t(xt, x)
            else:
                x, xt = layer(x, x), layer_t(xt, xt)
        return x, xt

    def _embeddings(self, times: int, bands: int, times_t: int, channels: int) -> tuple[Tensor, Tensor]:
        """Positional embeddings, computed once per size; the segment length is fixed, so once."""
        key = times, bands, times_t, channels
        if key not in self._positions:
            module = self._module
            flat = create_2d_sin_embedding(channels, bands, times, "cpu", module.max_period)  # type: ignore[no-untyped-call]
            line = module._get_pos_embedding(times_t, 1, channels, "cpu")  # type: ignore[no-untyped-call]
            flat = flat[0].permute(2, 1, 0).reshape(1, times * bands, channels)
            self._positions = {
                key: (
                    (flat * module.weight_pos_embed).to(self._device),
                    (line.transpose(0, 1).float() * module.weight_pos_embed).to(self._device),
                )
            }
        return self._positions[key]


class _Layer:
    """One branch's layer: self- or cross-attention, then a feed-forward network, both norm-first."""

    def __init__(self, layer: Any, weights: Weights) -> None:
        self.crosses = isinstance(layer, CrossTransformerEncoderLayer)
        require(self.crosses or isinstance(layer, MyTransformerEncoderLayer), f"layer {type(layer).__name__}")
        self.dtype = weights.dtype
        require(bool(layer.norm_first), "a transformer that normalises last")
        require(not layer.sparse, "sparse attention")
        attention = layer.cross_attn if self.crosses else layer.self_attn
        require(isinstance(attention, nn.MultiheadAttention), f"attention {type(attention).__name__}")
        self.attention = Attention(attention, weights, crosses=self.crosses)
        self.norm = _TokenNorm(layer.norm1, weights)
        self.norm_other = _TokenNorm(layer.norm2, weights) if self.crosses else self.norm
        self.norm_inner = _TokenNorm(layer.norm3 if self.crosses else layer.norm2, weights)
        require(layer.activation in (F.gelu, F.relu), f"activation {layer.activation}")
        self.is_gelu = layer.activation is F.gelu
        self.wide = weights.token_linear(layer.linear1.weight, layer.linear1.bias)
        self.narrow = weights.token_linear(layer.linear2.weight, layer.linear2.bias)
        self.scales = [_scale_of(gamma, weights.in_float32()) for gamma in (layer.gamma_1, layer.gamma_2)]
        self.norm_out = _TokenNorm(layer.norm_out or nn.Identity(), weights)

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        """[B, N, C], [B, M, C] ▸ [B, N, C]."""
        normed = self.norm(x).to(self.dtype)
        context = self.norm_other(other).to(self.dtype) if self.crosses else normed
        x = torch.addcmul(x, self.attention(normed, context).float(), self.scales[0])
        normed = self.norm_inner(x).to(self.dtype)
        inner = self.wide.with_gelu(normed) if self.is_gelu else torch.relu_(self.wide(normed))
        x.addcmul_(self.narrow(inner).float(), self.scales[1])
        return self.norm_out(x)


class _TokenNorm:
    """LayerNorm of each token, or MyGroupNorm over all tokens, in float32."""

    def __init__(self, module: nn.Module, weights: Weights) -> None:
        self._tokens = self._groups = None
        weights = weights.in_float32()
        if isinstance(module, nn.LayerNorm):
            self._tokens = list(module.normalized_shape), weights(module.weight), weights(module.bias), module.eps
        else:
            self._groups = Norm(module, weights)

    def __call__(self, x: Tensor) -> Tensor:
        if self._tokens is not None:
            return F.layer_norm(x, *self._tokens)
        assert self._groups is not None  # noqa: S101
        return self._groups(x[:, None])[:, 0]


def _scale_of(gamma: Any, weights: Weights) -> Tensor:
    """The scale of a LayerScale; 1 if the layer has none."""
    if isinstance(gamma, nn.Identity):
        return torch.ones((), device=weights.device, dtype=weights.dtype)
    return weights(gamma.scale)
