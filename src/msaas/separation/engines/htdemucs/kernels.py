"""Implementations of an operation that an engine chooses from. All of them compute the same function.

torch offers several on a CPU: matrix products by MKL or by oneDNN, attention as one kernel or as two products. Some
operations are compiled from C as well (`engines/compiled`).

oneDNN's products with weights in its own layout are private operations of torch (`torch.ops.mkldnn`, and
`torch.ops.onednn` for 8-bit integers). `fastest.py` tries
them before they are used, and public ones replace them if they are missing or fail. Checked with torch 2.13
(`tests/separation/engines/test_kernels.py` says what to look at for another release).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.compiled.library import VECTOR, exponentials

BLOCK_ROWS = 336  # of the attention matrix that a thread works on at a time, 1.8 MB for htdemucs in bfloat16


@dataclass(frozen=True)
class Kernels:
    """The implementations that an engine uses for one type. By default those that torch documents, on any device."""

    packed: bool = False  # linear layers by oneDNN, weights in its own layout
    fused_gelu: bool = False  # GELU within such a product
    split_gates: bool = False  # a gated linear layer as two products, the gate and the multiplication within them
    folded_norms: bool = False  # the wide norm of residual branches within the product before it
    composed_attention: bool = False  # two products and a softmax per head
    half_gates: bool = False  # the outermost decoders' gated convolutions in half precision as well
    int8: bool = False  # the transformer's linear layers in 8-bit integers
    compiled: bool = False  # residual branches, composed attention's softmax and conversions to integers, from C

    def names(self) -> tuple[str, ...]:
        return tuple(name for name, used in asdict(self).items() if used)

    @classmethod
    def of(cls, names: object) -> Kernels:
        """Raises ValueError unless `names` is a list of names."""
        known = asdict(cls())
        if not isinstance(names, list) or not all(isinstance(name, str) and name in known for name in names):
            raise ValueError(f"not a list of kernels: {names!r}")
        return cls(**dict.fromkeys(names, True))


KernelSet = Mapping[torch.dtype, Kernels]


class Packed:
    """A linear layer by oneDNN, weights in oneDNN's own layout."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int) -> None:
        """weight: [out, in]. rows: of a typical input; any number works."""
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        self._bias = bias.contiguous() if bias is not None else None

    def __call__(self, x: Tensor, activation: str = "none") -> Tensor:
        """[…, in] ▸ […, out]. activation: "none", "sigmoid" or "gelu" (the exact one)."""
        algorithm = "none" if activation == "gelu" else ""
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, activation, [], algorithm)
        return made

    def times(self, x: Tensor, factor: Tensor) -> Tensor:
        """The layer's output multiplied by `factor`, of the same shape."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, factor, self._weight, self._bias, "mul")
        return made


def fused_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """[B, heads, N, C], [B, heads, M, C] twice ▸ [B, N, heads, C]. Never holds the whole attention matrix."""
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)


def composed_attention(query: Tensor, key: Tensor, value: Tensor, *, compiled: bool = False) -> Tensor:
    """The same for queries that are scaled already: a head and a block of rows at a time.

    The scores are rounded to the type of the products. Keys are centred first, which adds the same to all scores of a
    query and so leaves its softmax as it is: smaller scores lose less by the rounding. compiled: whether the softmax
    is, in bfloat16.
    """
    batch, heads, rows, channels = query.shape
    result = query.new_empty(batch, rows, heads, channels)
    block_rows = BLOCK_ROWS * torch.get_num_threads()
    key = key - key.mean(2, keepdim=True)
    compiled = compiled and query.dtype is torch.bfloat16 and key.shape[2] % VECTOR == 0
    for item in range(batch):
        for head in range(heads):
            keys, values = key[item, head].contiguous(), value[item, head].contiguous()
            for first in range(0, rows, block_rows):
                block = slice(first, first + block_rows)
                scores = F.linear(query[item, head, block], keys)
                if compiled:
                    inverse_sums = exponentials(scores)
                    torch.mul(scores @ values, inverse_sums, out=result[item, block, head])
                else:
                    result[item, block, head] = torch.softmax(scores, -1) @ values
    return result
