"""Encoder and decoder layers of HTDemucs, channels last. Know nothing of spectrograms.

All tensors are [B, F, T, C]: the frequency branch has F bands, the time branch F = 1. `nchw` shows such a tensor to
torch's convolutions and norms, which know the layout as `torch.channels_last` and keep it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from demucs.demucs import DConv
from demucs.hdemucs import HDecLayer, HEncLayer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all of torch's world writes it

# Bytes of rows that are worked on together. With what is made of them they stay in the cache; a convolution takes more,
# since it lays out its weights anew at every call.
CHUNK_BYTES = 1 << 20
CONVOLUTION_BYTES = 8 << 20


class Unsupported(ValueError):
    """A network has parts that are not made again here."""


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def require(holds: bool, what: str) -> None:
    """Raises Unsupported, naming what was found, unless it holds."""
    if not holds:
        raise Unsupported(what)


class Weights:
    """Puts a module's parameters where and how they are wanted."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self.device, self.dtype)

    def in_float32(self) -> Weights:
        return Weights(self.device, torch.float32)

    def kernel(self, weight: Tensor) -> Tensor:
        """Of a 2-D convolution, [out, in, height, width]."""
        return self(weight).contiguous(memory_format=torch.channels_last)


class Norm:
    """GroupNorm over a row's times and channels, or nothing where the module has none."""

    def __init__(self, module: nn.Module, weights: Weights, scale: Tensor | None = None) -> None:
        """scale: [C], what the norm's output would be multiplied with next."""
        self.groups = 0
        if isinstance(module, nn.Identity):
            require(scale is None, "a residual branch without norms")
            return
        require(isinstance(module, nn.GroupNorm), f"norm {type(module).__name__}")
        assert isinstance(module, nn.GroupNorm)  # noqa: S101 - what require says
        self.groups, self.eps = module.num_groups, module.eps
        self.weight, self.bias = weights(module.weight), weights(module.bias)
        if scale is not None:
            self.weight, self.bias = self.weight * scale, self.bias * scale

    def __call__(self, x: Tensor) -> Tensor:
        """[N, H, W, C]."""
        if not self.groups:
            return x
        return nhwc(F.group_norm(nchw(x), self.groups, self.weight, self.bias, self.eps))


class ResidualBranches:
    """DConv: dilated convolutions along time, squeezed to few channels, added to what went in."""

    def __init__(self, module: DConv | None, weights: Weights) -> None:
        self._branches = [_Branch(layer, weights) for layer in module.layers] if module is not None else []

    def add_to(self, rows: Tensor) -> None:
        """[N, T, C], in place. Each row is normed by itself, so rows may come in any portions."""
        for branch in self._branches:
            rows += branch(rows)


class _Branch:
    def __init__(self, layer: Any, weights: Weights) -> None:
        parts = list(layer.children())
        require(len(parts) == 7, "recurrence or attention in a residual branch")
        narrow, norm, self.activation, widen, norm_wide, _glu, scale = parts
        self.kernel, self.bias = weights.kernel(narrow.weight[:, :, None]), weights(narrow.bias)
        self.padding, self.dilation = (0, *narrow.padding), (1, *narrow.dilation)
        self.norm = Norm(norm, weights)
        self.widen, self.widen_bias = weights(widen.weight[:, :, 0]), weights(widen.bias)
        # The layer's scale comes after the gate: it may as well go into the half that is gated.
        kept = weights(scale.scale)
        self.norm_wide = Norm(norm_wide, weights, torch.cat([kept, torch.ones_like(kept)]))

    def __call__(self, rows: Tensor) -> Tensor:
        narrow = nhwc(
            F.conv2d(nchw(rows[:, None]), self.kernel, self.bias, padding=self.padding, dilation=self.dilation)
        )
        narrow = self.activation(self.norm(narrow))
        return F.glu(self.norm_wide(F.linear(narrow, self.widen, self.widen_bias)), -1)[:, 0]


class Encoder:
    """HEncLayer: strided convolution, residual branches, gated 1 × 1 convolution."""

    def __init__(self, layer: Any, weights: Weights) -> None:
        require(type(layer) is HEncLayer and not layer.empty, f"encoder {type(layer).__name__}")
        require(isinstance(layer.rewrite, nn.Conv1d | nn.Conv2d), "encoder without rewrite")
        require(layer.rewrite.weight[0, 0].numel() == 1, "encoder with context")
        self.stride = layer.stride
        self.along_time = not layer.freq
        self.kernel = weights.kernel(layer.conv.weight[:, :, None] if self.along_time else layer.conv.weight)
        self.bias = weights(layer.conv.bias)
        self.strides = (1, layer.stride) if self.along_time else (layer.stride, 1)
        self.padding = (0, layer.pad) if self.along_time else (layer.pad, 0)
        self.norm = Norm(layer.norm1, weights)
        self.branches = ResidualBranches(layer.dconv, weights)
        self.rewrite, self.rewrite_bias = weights(layer.rewrite.weight.flatten(1)), weights(layer.rewrite.bias)
        self.norm_wide = Norm(layer.norm2, weights)

    def __call__(self, x: Tensor) -> Tensor:
        """[B, F, T, C] ▸ [B, F / 4, T, C'], or the same along time."""
        if self.along_time:
            x = F.pad(x, (0, 0, 0, -x.shape[2] % self.stride))
        y = nhwc(F.conv2d(nchw(x), self.kernel, self.bias, stride=self.strides, padding=self.padding))
        y = torch.ops.aten.gelu_(self.norm(y))
        if self.norm_wide.groups:
            self.branches.add_to(y.flatten(0, 1))
            return F.glu(self.norm_wide(F.linear(y, self.rewrite, self.rewrite_bias)), -1)
        out: Tensor = y.new_empty(*y.shape[:3], self.rewrite.shape[0] // 2)
        for rows, made in _chunks(y, out):
            self.branches.add_to(rows)
            torch.ops.aten.glu.out(F.linear(rows, self.rewrite, self.rewrite_bias), -1, out=made)
        return out


class Decoder:
    """HDecLayer: gated 3 × 3 convolution, residual branches, transposed convolution."""

    def __init__(self, layer: Any, weights: Weights) -> None:
        require(type(layer) is HDecLayer and not layer.empty, f"decoder {type(layer).__name__}")
        require(isinstance(layer.rewrite, nn.Conv1d | nn.Conv2d), "decoder without rewrite")
        require(layer.kernel_size % layer.stride == 0, "transposed convolution of uneven overlap")
        self.along_time = not layer.freq
        self.stride, self.crop, self.last = layer.stride, layer.pad, layer.last
        self.rewrite = weights.kernel(layer.rewrite.weight[:, :, None] if self.along_time else layer.rewrite.weight)
        self.rewrite_bias = weights(layer.rewrite.bias)
        self.norm_wide = Norm(layer.norm1, weights)
        self.branches = ResidualBranches(layer.dconv, weights)
        self.taps = layer.kernel_size // layer.stride
        self.kernel = weights.kernel(self._subpixel(layer.conv_tr.weight))
        self.bias = weights(layer.conv_tr.bias).repeat(self.stride)
        self.norm = Norm(layer.norm2, weights)

    def _subpixel(self, weight: Tensor) -> Tensor:
        """A transposed convolution's weight as that of a plain one whose output channels are (place, channel).

        Output place s·f + j gets Σₘ x[f − m] · w[j + s·m] for stride s: `taps` neighbours, and all s places of f from
        the same ones (Shi et al. 2016, arXiv:1609.07009).
        """
        ins, outs = weight.shape[:2]
        places = weight.reshape(ins, outs, self.taps, self.stride).flip(2)
        plain = places.permute(3, 1, 0, 2).reshape(self.stride * outs, ins, self.taps)
        return plain[:, :, None] if self.along_time else plain[..., None]

    def __call__(self, x: Tensor, length: int) -> Tensor:
        """[B, F, T, C], the skip added, ▸ [B, 4 F, T, C'], or along time, cut to `length`; in the weights' type."""
        z = self._cut(self.norm(self._upsampled(self._rewritten(x.to(self.kernel.dtype)))), length)
        return z if self.last else torch.ops.aten.gelu_(z)

    def _rewritten(self, x: Tensor) -> Tensor:
        """Convolution, gate and residual branches, some bands at a time: ungated, the widest is never whole."""
        padding = self.rewrite.shape[2] // 2, self.rewrite.shape[3] // 2
        made = torch.empty_like(x)
        bands = x.shape[1]
        for first, last in _portions(x, bands, 2 * x.shape[-1], whole=self.norm_wide.groups > 0):
            wide = self.norm_wide(_convolved(x, self.rewrite, self.rewrite_bias, padding, first, last))
            gated = torch.ops.aten.glu.out(wide, -1, out=made[:, first:last])
            del wide  # twice as large as what is left of it
            for (rows,) in _chunks(gated):
                self.branches.add_to(rows)
        return made

    def _upsampled(self, x: Tensor) -> Tensor:
        if self.along_time:
            z = nhwc(F.conv2d(nchw(x), self.kernel, self.bias, padding=(0, self.taps - 1)))
            return z.reshape(z.shape[0], 1, z.shape[2] * self.stride, -1)
        bands, channels = x.shape[1] + self.taps - 1, self.kernel.shape[0]
        made = x.new_empty(x.shape[0], bands, self.stride, x.shape[2], channels // self.stride)
        for first, last in _portions(x, bands, channels):
            z = _convolved(x, self.kernel, self.bias, (self.taps - 1, 0), first, last)
            made[:, first:last] = torch.unflatten(z, -1, (self.stride, -1)).transpose(2, 3)
        return made.flatten(1, 2)

    def _cut(self, z: Tensor, length: int) -> Tensor:
        if self.along_time:
            return z[:, :, self.crop : self.crop + length]
        return z[:, self.crop : z.shape[1] - self.crop]


def _portions(x: Tensor, bands: int, channels: int, *, whole: bool = False) -> Iterator[tuple[int, int]]:
    """[first, last) of a convolution's bands, few enough for the cache on a CPU, all at once elsewhere."""
    portion = bands
    if x.device.type == "cpu" and not whole:
        portion = max(1, CONVOLUTION_BYTES // (x.shape[0] * x.shape[2] * channels * x.element_size()))
    for first in range(0, bands, portion):
        yield first, min(first + portion, bands)


def _convolved(x: Tensor, kernel: Tensor, bias: Tensor, padding: tuple[int, int], first: int, last: int) -> Tensor:
    """Bands [first, last) of a convolution, made from those that they see."""
    above, below = first - padding[0], last - padding[0] + kernel.shape[2] - 1
    inside = above >= 0 and below <= x.shape[1]
    if inside:
        padding = 0, padding[1]
    seen = x[:, max(above, 0) : below]
    made = nhwc(F.conv2d(nchw(seen), kernel, bias, padding=padding))
    return made if inside else made[:, first - max(above, 0) : last - max(above, 0)]


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows [n, T, C] of each, few enough of the first for the cache on a CPU, all at once elsewhere."""
    if tensors[0].device.type == "cpu":
        for items in zip(*tensors, strict=True):
            portion = max(1, CHUNK_BYTES // (items[0][0].numel() * items[0].element_size()))
            for start in range(0, len(items[0]), portion):
                yield tuple(item[start : start + portion] for item in items)
    else:
        yield tuple(tensor.flatten(0, 1) for tensor in tensors)
