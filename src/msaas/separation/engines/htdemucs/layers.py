"""Encoder and decoder layers of HTDemucs, channels last. Independent of spectrograms.

All tensors are [B, F, T, C]: the frequency branch has F bands, the time branch F = 1. `nchw` views such a tensor in the
dimension order of torch's convolutions and norms, which keep the layout (`torch.channels_last`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from demucs.hdemucs import HDecLayer, HEncLayer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.branches import ResidualBranches
from msaas.separation.engines.htdemucs.common import Norm, nchw, nhwc, require
from msaas.separation.engines.htdemucs.products import Weights

# Bytes of rows that a thread processes together. With their results they fit into the cache. Convolutions take larger
# portions, of all threads, since each call rearranges its weights.
CHUNK_BYTES = 1 << 20
CONVOLUTION_BYTES = 8 << 20


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
        rewrite = layer.rewrite.weight.flatten(1)
        self.channels = len(rewrite) // 2
        self.norm_wide = Norm(layer.norm2, weights)
        if self.norm_wide.groups:
            self.rewrite = weights.linear(rewrite, layer.rewrite.bias)
        else:
            self.gated = weights.gated(rewrite, layer.rewrite.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """[B, F, T, C] ▸ [B, F / 4, T, C'], or the equivalent along time."""
        if self.along_time:
            x = F.pad(x, (0, 0, 0, -x.shape[2] % self.stride))
        y = nhwc(F.conv2d(nchw(x), self.kernel, self.bias, stride=self.strides, padding=self.padding))
        y = torch.ops.aten.gelu_(self.norm(y.contiguous()))  # torch's layout is another for a single input channel
        if self.norm_wide.groups:
            self.branches.add_to(y.flatten(0, 1))
            return F.glu(self.norm_wide(self.rewrite(y)), -1)
        out: Tensor = y.new_empty(*y.shape[:3], self.channels)
        for rows, result in _chunks(y, out):
            self.branches.add_to(rows)
            self.gated.into(rows, result)
        return out


class Decoder:
    """HDecLayer: gated 3 × 3 convolution, residual branches, transposed convolution."""

    def __init__(self, layer: Any, weights: Weights, gate_weights: Weights) -> None:
        """gate_weights: of the gated convolution, whose output has the type of `weights`."""
        require(type(layer) is HDecLayer and not layer.empty, f"decoder {type(layer).__name__}")
        require(isinstance(layer.rewrite, nn.Conv1d | nn.Conv2d), "decoder without rewrite")
        require(layer.kernel_size % layer.stride == 0, "transposed convolution with uneven overlap")
        self.along_time = not layer.freq
        self.stride, self.crop, self.last = layer.stride, layer.pad, layer.last
        rewrite = layer.rewrite.weight
        self.rewrite = gate_weights.kernel(rewrite[:, :, None] if self.along_time else rewrite)
        self.rewrite_bias = gate_weights(layer.rewrite.bias)
        self.norm_wide = Norm(layer.norm1, gate_weights)
        self.split_gates = gate_weights.kernels.split_gates and not self.norm_wide.groups
        self.branches = ResidualBranches(layer.dconv, weights)
        self.taps = layer.kernel_size // layer.stride
        self.kernel = weights.kernel(self._subpixel(layer.conv_tr.weight))
        self.bias = weights(layer.conv_tr.bias).repeat(self.stride)
        self.norm = Norm(layer.norm2, weights)

    def _subpixel(self, weight: Tensor) -> Tensor:
        """Converts a transposed convolution's weight to that of a plain one with output channels (position, channel).

        Output position s·f + j gets Σₘ x[f − m] · w[j + s·m] for stride s: `taps` neighbours, the same ones for all s
        positions of f (Shi et al. 2016, arXiv:1609.07009).
        """
        ins, outs = weight.shape[:2]
        places = weight.reshape(ins, outs, self.taps, self.stride).flip(2)
        plain = places.permute(3, 1, 0, 2).reshape(self.stride * outs, ins, self.taps)
        return plain[:, :, None] if self.along_time else plain[..., None]

    def __call__(self, x: Tensor, length: int) -> Tensor:
        """[B, F, T, C], skip connection included, ▸ [B, 4 F, T, C'], or along time, cut to `length`; in the weights'
        type."""
        z = self._cut(self.norm(self._upsampled(self._rewritten(x))), length)
        return z if self.last else torch.ops.aten.gelu_(z)

    def _rewritten(self, x: Tensor) -> Tensor:
        """Convolution, gate and residual branches, some bands at a time, so that the ungated tensor is never whole."""
        padding = self.rewrite.shape[2] // 2, self.rewrite.shape[3] // 2
        result = torch.empty_like(x, dtype=self.kernel.dtype)
        bands = x.shape[1]
        for first, last in _portions(result, bands, 2 * x.shape[-1], whole=self.norm_wide.groups > 0):
            gated = result[:, first:last]
            self._gate(gated, lambda half: _convolved(x, *half, padding, first, last))  # noqa: B023 - used here only
            for (rows,) in _chunks(gated):
                self.branches.add_to(rows)
        return result

    def _gate(self, result: Tensor, convolved: Callable[[tuple[Tensor, Tensor]], Tensor]) -> None:
        """convolved: applies a kernel and its bias."""
        if not self.split_gates:
            wide = self.norm_wide(convolved((self.rewrite, self.rewrite_bias))).to(result.dtype)
            torch.ops.aten.glu.out(wide, -1, out=result)
            return
        value, gate = zip(self.rewrite.chunk(2), self.rewrite_bias.chunk(2), strict=True)
        opening = convolved(gate).contiguous().to(result.dtype).sigmoid_()
        torch.mul(convolved(value), opening, out=result)

    def _upsampled(self, x: Tensor) -> Tensor:
        if self.along_time:
            z = nhwc(F.conv2d(nchw(x), self.kernel, self.bias, padding=(0, self.taps - 1)))
            return z.reshape(z.shape[0], 1, z.shape[2] * self.stride, -1)
        bands, channels = x.shape[1] + self.taps - 1, self.kernel.shape[0]
        if self.last:  # times first in memory, as the inverse transform needs them
            result = x.new_empty(x.shape[0], x.shape[2], bands, self.stride, channels // self.stride)
            places = result.permute(0, 2, 3, 1, 4)
        else:
            places = result = x.new_empty(x.shape[0], bands, self.stride, x.shape[2], channels // self.stride)
        for first, last in _portions(x, bands, channels):
            z = _convolved(x, self.kernel, self.bias, (self.taps - 1, 0), first, last)
            places[:, first:last] = torch.unflatten(z, -1, (self.stride, -1)).transpose(2, 3)
        return result.flatten(2, 3).transpose(1, 2) if self.last else result.flatten(1, 2)

    def _cut(self, z: Tensor, length: int) -> Tensor:
        if self.along_time:
            return z[:, :, self.crop : self.crop + length]
        return z[:, self.crop : z.shape[1] - self.crop]


def _portions(x: Tensor, bands: int, channels: int, *, whole: bool = False) -> Iterator[tuple[int, int]]:
    """Ranges [first, last) of a convolution's bands that fit the cache on a CPU; one range elsewhere."""
    portion = bands
    if x.device.type == "cpu" and not whole:
        portion = max(1, CONVOLUTION_BYTES // (x.shape[0] * x.shape[2] * channels * x.element_size()))
    for first in range(0, bands, portion):
        yield first, min(first + portion, bands)


def _convolved(x: Tensor, kernel: Tensor, bias: Tensor, padding: tuple[int, int], first: int, last: int) -> Tensor:
    """Bands [first, last) of a convolution, computed from the bands they depend on."""
    above, below = first - padding[0], last - padding[0] + kernel.shape[2] - 1
    inside = above >= 0 and below <= x.shape[1]
    if inside:
        padding = 0, padding[1]
    inputs = x[:, max(above, 0) : below].to(kernel.dtype)  # some bands at a time: all would take as much again
    result = nhwc(F.conv2d(nchw(inputs), kernel, bias, padding=padding))
    return result if inside else result[:, first - max(above, 0) : last - max(above, 0)]


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows [n, T, C] of each tensor, in portions that fit the cache on a CPU; one portion elsewhere."""
    if tensors[0].device.type == "cpu":
        for items in zip(*tensors, strict=True):
            portion = max(1, torch.get_num_threads() * CHUNK_BYTES // (items[0][0].numel() * items[0].element_size()))
            for start in range(0, len(items[0]), portion):
                yield tuple(item[start : start + portion] for item in items)
    else:
        yield tuple(tensor.flatten(0, 1) for tensor in tensors)
