"""HTDemucs' cross-domain transformer. Tokens are [B, N, C] in both branches.

The residual stream (the tokens) is float32 throughout: ten sums rounded to bfloat16 would cost some 10 dB of fidelity.
Matrix products use the type of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
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

from msaas.separation.engines.htdemucs.layers import Norm, Weights, require
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
                    (line.transpose(0, 1) * module.weight_pos_embed).to(self._device),
                )
            }
        return self._positions[key]


_IN_PLACE: dict[Any, Callable[[Tensor], Tensor]] = {F.gelu: torch.ops.aten.gelu_, F.relu: torch.relu_}


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
        self.attention = _Attention(attention, weights)
        self.norm = _TokenNorm(layer.norm1, weights)
        self.norm_other = _TokenNorm(layer.norm2, weights) if self.crosses else self.norm
        self.norm_inner = _TokenNorm(layer.norm3 if self.crosses else layer.norm2, weights)
        require(layer.activation in _IN_PLACE, f"activation {layer.activation}")
        self.activation_ = _IN_PLACE[layer.activation]
        self.wide = [weights(one) for one in (layer.linear1.weight, layer.linear1.bias)]
        self.narrow = [weights(one) for one in (layer.linear2.weight, layer.linear2.bias)]
        self.scales = [_scale_of(gamma, weights.in_float32()) for gamma in (layer.gamma_1, layer.gamma_2)]
        self.norm_out = _TokenNorm(layer.norm_out or nn.Identity(), weights)

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        """[B, N, C], [B, M, C] ▸ [B, N, C]."""
        normed = self.norm(x).to(self.dtype)
        context = self.norm_other(other).to(self.dtype) if self.crosses else normed
        x = torch.addcmul(x, self.attention(normed, context).float(), self.scales[0])
        inner = self.activation_(F.linear(self.norm_inner(x).to(self.dtype), *self.wide))
        x.addcmul_(F.linear(inner, *self.narrow).float(), self.scales[1])
        return self.norm_out(x)


class _Attention:
    """nn.MultiheadAttention with torch's fused kernel, which never holds the whole attention matrix."""

    def __init__(self, module: nn.MultiheadAttention, weights: Weights) -> None:
        require(module.in_proj_weight is not None and module.bias_k is None, "an unusual kind of attention")
        self.heads, self.channels = module.num_heads, module.embed_dim
        self.weight, self.bias = weights(module.in_proj_weight), weights(module.in_proj_bias)
        self.out = [weights(one) for one in (module.out_proj.weight, module.out_proj.bias)]

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        if other is x:
            query, key, value = self._project(x, 0, 3)
        else:
            (query,) = self._project(x, 0, 1)
            key, value = self._project(other, 1, 3)
        attended = F.scaled_dot_product_attention(query, key, value)
        return F.linear(attended.transpose(1, 2).flatten(2), *self.out)

    def _project(self, x: Tensor, first: int, last: int) -> Tensor:
        """Some of query, key and value, [last − first, B, heads, N, C / heads]."""
        rows = slice(first * self.channels, last * self.channels)
        made = F.linear(x, self.weight[rows], self.bias[rows])
        return torch.unflatten(made, -1, (last - first, self.heads, -1)).permute(2, 0, 3, 1, 4)


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
