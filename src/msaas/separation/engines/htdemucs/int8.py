"""Linear layers in 8-bit integers: weights by output channel, inputs by token, both when they are used.

After LLM.int8() (Dettmers et al. 2022, https://arxiv.org/abs/2208.07339), vector-wise quantization, without its outlier
columns: each token has a scale of its own, so a large channel costs only its own token's precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from msaas.separation.engines.compiled import library

LARGEST = 127
_ZERO = 128  # oneDNN multiplies unsigned inputs by signed weights; signed inputs take a slow reference implementation
_BOUND = 126.5  # of the scaled inputs: with the rounding of their scale no more than LARGEST


class Int8:
    """A linear layer by oneDNN in 8-bit integers, with the input and output in the type of the bias."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int, *, compiled: bool = False) -> None:
        """weight: [out, in]. rows: of a typical input; any number works. compiled: whether to convert bfloat16 by the
        compiled library."""
        wide = weight.float()
        self._quantize = library.quantize if compiled and wide.shape[1] % library.VECTOR == 0 else quantize
        self._scales = wide.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / LARGEST
        quantized = (wide / self._scales[:, None]).round().to(torch.int8)
        self._weight: Tensor = torch.ops.onednn.qlinear_prepack(quantized, [rows, wide.shape[1]])
        self._zeros, self._bias = torch.zeros(len(wide), dtype=torch.int64), bias.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """[…, in] ▸ […, out]."""
        rows = x.reshape(-1, x.shape[-1])
        quantized, scales = self._quantize(rows)
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(quantized, 1.0, _ZERO),
            *(self._weight, self._scales, self._zeros),
            *(None, 1.0, 0, x.dtype, "none", [], ""),
        )
        return torch.addcmul(self._bias, products, scales).reshape(*x.shape[:-1], -1)


def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """[N, in] ▸ the same as unsigned integers around 128, and what one of them is worth in each row, [N, 1].

    The rows are multiplied by an inverse that is rounded to their type; the scale is that inverse's own.
    """
    inverse = (_BOUND / _largest(rows).clamp_min_(1e-30)).to(rows.dtype)
    integers = torch.mul(rows, inverse).round_().to(torch.int8)
    return integers.view(torch.uint8).bitwise_xor_(_ZERO), inverse.float().reciprocal_().to(rows.dtype)


def _largest(rows: Tensor) -> Tensor:
    """The largest magnitude of each row, [N, 1], float32. Without their signs the bits of bfloat16 are ordered as
    integers, of which torch finds the largest four times as fast."""
    if rows.dtype is torch.bfloat16:
        return (rows.view(torch.int16) & 0x7FFF).amax(-1, keepdim=True).view(rows.dtype).float()
    return rows.abs().amax(-1, keepdim=True).float()
