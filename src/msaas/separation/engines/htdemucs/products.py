"""A network's weights as linear layers and gates, by the kernels of their type."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.int8 import Int8
from msaas.separation.engines.htdemucs.kernels import Kernels, KernelSet, Packed

# Below, converting an input to integers costs what its product gains (measured with the small model: 160 channels).
MIN_INT8_CHANNELS = 512


def has_wide_tokens(network: Any) -> bool:
    """Whether a transformer of the network has layers that 8-bit integers are used for."""
    transformer = getattr(network, "crosstransformer", None)
    layers = transformer.layers if transformer is not None else ()
    return any(layer.linear1.in_features >= MIN_INT8_CHANNELS for layer in layers)


class Weights:
    """Converts a module's parameters to a device and type, and to the layers that use them."""

    def __init__(self, device: torch.device, dtype: torch.dtype, kernels: KernelSet) -> None:
        self.device, self.dtype, self._kernel_set = device, dtype, kernels
        self.kernels = kernels.get(dtype, Kernels())

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self.device, self.dtype)

    def in_float32(self) -> Weights:
        return Weights(self.device, torch.float32, self._kernel_set)

    def kernel(self, weight: Tensor) -> Tensor:
        """The weight of a 2-D convolution, [out, in, height, width]."""
        return self(weight).contiguous(memory_format=torch.channels_last)

    def linear(self, weight: Tensor, bias: Tensor, rows: int = 2688) -> Linear:
        """weight: [out, in]. rows: of a typical input."""
        weight, bias = self(weight), self(bias)
        if self.kernels.packed:
            return PackedLinear(weight, bias, rows, fused_gelu=self.kernels.fused_gelu)
        return Linear(weight, bias)

    def token_linear(self, weight: Tensor, bias: Tensor, rows: int = 2688) -> Linear:
        """A linear layer of a transformer, whose inputs are tokens with a norm of their own."""
        if self.kernels.int8 and weight.shape[1] >= MIN_INT8_CHANNELS:
            return Int8Linear(self(weight), self(bias), rows, compiled=self.kernels.compiled)
        return self.linear(weight, bias, rows)

    def gated(self, weight: Tensor, bias: Tensor, rows: int = 4096) -> Gated:
        weight, bias = self(weight), self(bias)
        return SplitGated(weight, bias, rows) if self.kernels.split_gates else Gated(weight, bias)


class Linear:
    """A linear layer, [N, …, in] ▸ [N, …, out]."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weight, self._bias)

    def with_gelu(self, x: Tensor) -> Tensor:
        made: Tensor = torch.ops.aten.gelu_(self(x))
        return made


class PackedLinear(Linear):
    """The same, by oneDNN."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int, *, fused_gelu: bool) -> None:
        self._layer, self._fused_gelu = Packed(weight, bias, rows), fused_gelu

    def __call__(self, x: Tensor) -> Tensor:
        return self._layer(x)

    def with_gelu(self, x: Tensor) -> Tensor:
        return self._layer(x, "gelu") if self._fused_gelu else super().with_gelu(x)


class Int8Linear(Linear):
    """The same in 8-bit integers."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int, *, compiled: bool) -> None:
        self._layer = Int8(weight, bias, rows, compiled=compiled and weight.dtype is torch.bfloat16)

    def __call__(self, x: Tensor) -> Tensor:
        return self._layer(x)


class Gated:
    """A linear layer and a gate over its output channels, [N, …, in] ▸ [N, …, out / 2]."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.glu(F.linear(x, self._weight, self._bias), -1)

    def into(self, x: Tensor, result: Tensor) -> None:
        torch.ops.aten.glu.out(F.linear(x, self._weight, self._bias), -1, out=result)


class SplitGated(Gated):
    """The same as two products: a sigmoid within the one, a multiplication by its output within the other."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        self._value, self._gate = (
            Packed(half, half_bias, rows) for half, half_bias in zip(weight.chunk(2), bias.chunk(2), strict=True)
        )

    def __call__(self, x: Tensor) -> Tensor:
        return self._value.times(x, self._gate(x, "sigmoid"))

    def into(self, x: Tensor, result: Tensor) -> None:
        result.copy_(self(x))
