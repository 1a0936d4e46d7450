"""The residual branches of HTDemucs' layers (DConv): rows [N, T, C], each normalised by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from demucs.demucs import DConv
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.compiled.library import add_branches, packed_widening
from msaas.separation.engines.htdemucs.common import Norm, nchw, nhwc, require
from msaas.separation.engines.htdemucs.products import Weights


class ResidualBranches:
    """DConv: dilated convolutions along time with few channels, added to the input."""

    def __init__(self, module: DConv | None, weights: Weights) -> None:
        self._branches = [_branch_of(layer, weights) for layer in module.layers] if module is not None else []

    def add_to(self, rows: Tensor) -> None:
        """[N, T, C], in place. Each row is normalised separately, so rows may be split arbitrarily."""
        for branch in self._branches:
            branch.add_to(rows)


def _branch_of(layer: Any, weights: Weights) -> _Branch | _CompiledBranch:
    parts = list(layer.children())
    require(len(parts) == 7, "recurrence or attention in a residual branch")
    _narrow, norm, activation, _widen, norm_wide, _glu, _scale = parts
    is_usual = isinstance(activation, nn.GELU) and activation.approximate == "none"
    if weights.kernels.compiled and is_usual and all(_has_one_group(one) for one in (norm, norm_wide)):
        return _CompiledBranch(parts, weights)
    return _Branch(parts, weights)


def _has_one_group(norm: nn.Module) -> bool:
    return isinstance(norm, nn.GroupNorm) and norm.num_groups == 1


class _Narrowing:
    """The dilated convolution, [N, T, C] ▸ [N, 1, T, h]."""

    def __init__(self, convolution: Any, weights: Weights) -> None:
        self._kernel, self._bias = weights.kernel(convolution.weight[:, :, None]), weights(convolution.bias)
        self._padding, self._dilation = (0, *convolution.padding), (1, *convolution.dilation)

    def __call__(self, rows: Tensor) -> Tensor:
        x = nchw(rows[:, None])
        return nhwc(F.conv2d(x, self._kernel, self._bias, padding=self._padding, dilation=self._dilation))


class _CompiledBranch:
    """A branch whose norms have one group: torch's convolution, and the rest in one pass over the rows."""

    def __init__(self, parts: Sequence[Any], weights: Weights) -> None:
        narrow, norm, _gelu, widen, norm_wide, _glu, scale = parts
        self._narrow = _Narrowing(narrow, weights)
        exact = weights.in_float32()
        self._norm = torch.stack([exact(norm.weight), exact(norm.bias)])
        kept = _gate_scale(scale, exact)
        gain, shift = exact(norm_wide.weight) * kept, exact(norm_wide.bias) * kept
        self._widening = packed_widening(exact(widen.weight[:, :, 0]), exact(widen.bias), gain, shift)
        self._eps = torch.tensor([norm.eps, norm_wide.eps])

    def add_to(self, rows: Tensor) -> None:
        whole = rows.contiguous()
        add_branches(whole, self._narrow(whole)[:, 0].contiguous(), self._norm, self._widening, self._eps)
        if whole is not rows:
            rows.copy_(whole)


class _Branch:
    """The same by torch's operations."""

    def __init__(self, parts: Sequence[Any], weights: Weights) -> None:
        narrow, norm, self._activation, widen, norm_wide, _glu, scale = parts
        self._narrow = _Narrowing(narrow, weights)
        self._norm = Norm(norm, weights)
        folds = weights.kernels.folded_norms and getattr(norm_wide, "num_groups", 0) == 1
        if folds:  # in float32 up to the product, which rounds once
            self._norm = Norm(norm, weights.in_float32())
        self._folds = folds
        self._widen = (_FoldedWidening if folds else _Widening)(widen, norm_wide, scale, weights)

    def add_to(self, rows: Tensor) -> None:
        narrow = self._narrow(rows)
        narrow = self._activation(self._norm(narrow.float() if self._folds else narrow))
        rows += self._widen(narrow[:, 0])


def _gate_scale(scale: Any, weights: Weights) -> Tensor:
    """The layer's scale follows the gate; it can be applied to the gated half before it, [2 C]."""
    kept = weights(scale.scale)
    return torch.cat([kept, torch.ones_like(kept)])


class _Widening:
    """Linear layer, norm, gate and scale, [N, T, h] ▸ [N, T, C]."""

    def __init__(self, widen: Any, norm: nn.Module, scale: Any, weights: Weights) -> None:
        self._weight, self._bias = weights(widen.weight[:, :, 0]), weights(widen.bias)
        self._norm = Norm(norm, weights, _gate_scale(scale, weights))

    def __call__(self, narrow: Tensor) -> Tensor:
        wide = F.linear(narrow, self._weight, self._bias)
        return F.glu(self._norm(wide[:, None])[:, 0], -1)


class _FoldedWidening:
    """The same as one gated product of narrow rows in float32.

    Mean m and variance s² of W n + b over times and channels follow from mean and covariance of the narrow n. With
    those, γ (W n + b − m) / s + β is a linear function of [n / s, 1 / s, −m / s]. The last two may be large and cancel:
    a product in half precision gets what they lose by rounding as further columns.
    """

    def __init__(self, widen: Any, norm: nn.GroupNorm, scale: Any, weights: Weights) -> None:
        exact = weights.in_float32()
        weight, bias = exact(widen.weight[:, :, 0]), exact(widen.bias)  # [2 C, h], [2 C]
        kept = _gate_scale(scale, exact)
        gain, shift = exact(norm.weight) * kept, exact(norm.bias) * kept
        self._eps, self._dtype = norm.eps, weights.dtype
        self._mean_weight, self._mean_bias = weight.mean(0), bias.mean()
        centred, offset = weight - self._mean_weight, bias - self._mean_bias
        self._spread = weight.t() @ weight / len(weight)  # of the covariance
        self._centred = centred.t() @ centred / len(weight)  # of the mean, with itself …
        self._cross, self._offset = centred.t() @ offset / len(weight), offset.square().mean()  # … and the bias
        constant = torch.stack([gain * bias, gain], 1)  # [2 C, 2]
        rounded, rest = _split(constant, self._dtype)
        constants = [constant] if self._dtype is torch.float32 else [rounded, rounded, rest]
        self._gated = weights.gated(torch.cat([gain[:, None] * weight, *constants], 1), shift)

    def __call__(self, narrow: Tensor) -> Tensor:
        """[N, T, h] in float32 ▸ [N, T, C] in the type of the products."""
        inverse, offset = self._moments(narrow)
        constant = torch.stack([inverse, offset], 1)  # [N, 2]
        rounded, rest = _split(constant, self._dtype)
        constants = constant if self._dtype is torch.float32 else torch.cat([rounded, rest, rounded], 1)
        width = narrow.shape[2]
        extended = narrow.new_empty(*narrow.shape[:2], width + constants.shape[1], dtype=self._dtype)
        torch.mul(narrow, inverse[:, None, None], out=extended[..., :width])
        extended[..., width:] = constants[:, None]
        return self._gated(extended)

    def _moments(self, narrow: Tensor) -> tuple[Tensor, Tensor]:
        """1 / s and −m / s of each row, [N]."""
        mean = narrow.mean(1)  # [N, h]
        centred = narrow - mean[:, None]
        covariance = centred.transpose(1, 2) @ centred / narrow.shape[1]  # [N, h, h]
        variance = (covariance * self._spread).sum((1, 2)) + self._variance_of_means(mean)
        inverse = torch.rsqrt(variance.clamp_min_(0) + self._eps)  # rounding may leave less than none
        return inverse, (mean @ self._mean_weight + self._mean_bias) * -inverse

    def _variance_of_means(self, mean: Tensor) -> Tensor:
        """Variance over the channels of their means over time, [N, h] ▸ [N]."""
        return ((mean @ self._centred) * mean).sum(1) + 2 * (mean @ self._cross) + self._offset


def _split(exact: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A tensor rounded to a type, and what the rounding lost; both in float32."""
    rounded = exact.to(dtype).float()
    return rounded, exact - rounded
