"""Which implementation of an operation is the fastest here. All of them compute the same function.

torch offers several on a CPU: matrix products by MKL or by oneDNN, attention as one kernel or as two products. Which is
faster depends on the CPU, the type and torch's build, so it is measured when a model is loaded.

oneDNN's products with weights in its own layout are private operations of torch (`torch.ops.mkldnn`, and
`torch.ops.onednn` for 8-bit integers). They are tried
before they are used, and replaced by public ones if they are missing or fail. Checked with torch 2.13
(`tests/separation/engines/test_kernels.py` says what to look at for another release).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.int8 import Int8

# Of the products that are timed: those of htdemucs' transformer and of the gates of its outermost encoder.
_TOKENS, _WIDTH = 1344, 512
_ROWS, _CHANNELS = 8064, 48
_ROUNDS = 3
_FASTER = 0.97  # of the public implementation's time: a private one that gains less is not used
# Where oneDNN has no kernel for these integers its reference implementation takes minutes for what is timed, so a few
# tokens are tried first.
_PROBED, _FAR_SLOWER = 4, 20
BLOCK_ROWS = 336  # of the attention matrix that exist at a time, 1.8 MB for htdemucs in bfloat16


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


def composed_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same for queries that are scaled already: a head and a block of rows at a time.

    The scores are rounded to the type of the products. Keys are centred first, which adds the same to all scores of a
    query and so leaves its softmax as it is: smaller scores lose less by the rounding.
    """
    batch, heads, rows, channels = query.shape
    result = query.new_empty(batch, rows, heads, channels)
    block_rows = BLOCK_ROWS * torch.get_num_threads()
    key = key - key.mean(2, keepdim=True)
    for item in range(batch):
        for head in range(heads):
            keys, values = key[item, head].contiguous(), value[item, head].contiguous()
            for first in range(0, rows, block_rows):
                block = slice(first, first + block_rows)
                scores = F.linear(query[item, head, block], keys)
                result[item, block, head] = torch.softmax(scores, -1) @ values
    return result


def fastest_kernels(dtype: torch.dtype, clock: Callable[[], float] = time.thread_time) -> Kernels:
    """The fastest implementations for a type on this CPU. Takes about a second, on one thread.

    clock: seconds; by default of this thread alone, so that other work on the machine does not count.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        return Kernels()
    with _one_thread(), torch.inference_mode():
        kernels = Kernels(folded_norms=True)
        if _is_exact(dtype):
            kernels = _packed_kernels(dtype, kernels, clock)
        kernels = replace(
            kernels,
            composed_attention=_composed_is_faster(dtype, clock),
            half_gates=dtype is not torch.float32 and _convolution_is_faster(dtype, clock),
        )
        return replace(kernels, int8=_is_exact(dtype) and _int8_is_faster(dtype, clock, packed=kernels.packed))


@cache
def measured_kernels(dtype: torch.dtype) -> Kernels:
    """fastest_kernels, measured once in this process: a model may have several networks."""
    return fastest_kernels(dtype)


def _packed_kernels(dtype: torch.dtype, kernels: Kernels, clock: Callable[[], float]) -> Kernels:
    x, weight, bias = _drawn(dtype, (_TOKENS, _WIDTH), (4 * _WIDTH, _WIDTH), (4 * _WIDTH,))
    layer = Packed(weight, bias, _TOKENS)
    public, packed, public_gelu, own_gelu, fused_gelu = _seconds(
        clock,
        lambda: F.linear(x, weight, bias),
        lambda: layer(x),
        lambda: torch.ops.aten.gelu_(F.linear(x, weight, bias)),
        lambda: torch.ops.aten.gelu_(layer(x)),
        lambda: layer(x, "gelu"),
    )
    is_packed = min(packed, own_gelu, fused_gelu) < _FASTER * public or fused_gelu < _FASTER * public_gelu
    kernels = replace(kernels, packed=is_packed, fused_gelu=is_packed and fused_gelu < _FASTER * own_gelu)
    rows, wide, wide_bias = _drawn(dtype, (_ROWS, _CHANNELS), (2 * _CHANNELS, _CHANNELS), (2 * _CHANNELS,))
    value, gate = (Packed(one, half, _ROWS) for one, half in zip(wide.chunk(2), wide_bias.chunk(2), strict=True))
    public, split = _seconds(
        clock,
        lambda: F.glu(F.linear(rows, wide, wide_bias), -1),
        lambda: value.times(rows, gate(rows, "sigmoid")),
    )
    return replace(kernels, split_gates=split < _FASTER * public)


def _is_exact(dtype: torch.dtype) -> bool:
    """Whether torch has oneDNN's packed products for this type here, and they agree with its public ones."""
    x, weight, bias = _drawn(dtype, (40, 24), (32, 24), (32,))
    plain = F.linear(x.float(), weight.float(), bias.float())
    tolerance = 1e-4 if dtype is torch.float32 else 0.05
    try:
        layer = Packed(weight, bias, 40)
        sigmoid, gelu = layer(x, "sigmoid"), layer(x, "gelu")
        made = [layer(x), gelu, layer.times(x, sigmoid)]
    except (RuntimeError, AttributeError, TypeError):  # missing, other arguments, or the CPU lacks what it needs
        return False
    wanted = [plain, F.gelu(plain), plain * plain.sigmoid()]
    return all(
        one.dtype is dtype and bool((one.float() - want).abs().max() <= tolerance * want.abs().max())
        for one, want in zip(made, wanted, strict=True)
    )


def _composed_is_faster(dtype: torch.dtype, clock: Callable[[], float]) -> bool:
    query, key, value = _drawn(dtype, *[(1, 2, _TOKENS, 64)] * 3)
    fused, composed = _seconds(
        clock, lambda: fused_attention(query, key, value), lambda: composed_attention(query, key, value)
    )
    return composed < _FASTER * fused


def _convolution_is_faster(dtype: torch.dtype, clock: Callable[[], float]) -> bool:
    """Than in float32."""
    x, kernel = _drawn(torch.float32, (1, _CHANNELS, 32, 336), (_CHANNELS, _CHANNELS, 3, 3))
    x, kernel = (one.contiguous(memory_format=torch.channels_last) for one in (x, kernel))
    half_x, half_kernel = x.to(dtype), kernel.to(dtype)
    exact, half = _seconds(
        clock, lambda: F.conv2d(x, kernel, padding=1), lambda: F.conv2d(half_x, half_kernel, padding=1)
    )
    return half < _FASTER * exact


def _int8_is_faster(dtype: torch.dtype, clock: Callable[[], float], *, packed: bool) -> bool:
    """Than the product that would be used instead. Not for float32, which has to be exact."""
    if dtype is torch.float32 or not _int8_is_right(dtype):
        return False
    x, weight, bias = _drawn(dtype, (_TOKENS, _WIDTH), (4 * _WIDTH, _WIDTH), (4 * _WIDTH,))
    other = Packed(weight, bias, _TOKENS) if packed else partial(F.linear, weight=weight, bias=bias)
    int8 = Int8(weight, bias, _TOKENS)
    for tokens, factor in ((x[:_PROBED], _FAR_SLOWER), (x, _FASTER)):
        own, in_integers = _seconds(clock, partial(other, tokens), partial(int8, tokens))
        if in_integers >= factor * own:
            return False
    return True


def _int8_is_right(dtype: torch.dtype) -> bool:
    """Whether torch has these products here, and inputs and weights at the ends of their range do not overflow."""
    x, weight, bias = _drawn(dtype, (40, 256), (32, 256), (32,))
    x[:20], weight[:16] = x[:20].sign(), weight[:16].sign()
    x[0], weight[0] = 1, 1
    wanted = F.linear(x.float(), weight.float(), bias.float())
    try:
        made = Int8(weight, bias, 40)(x)
    except (RuntimeError, AttributeError, TypeError):
        return False
    return made.dtype is dtype and bool((made.float() - wanted).abs().max() <= 0.02 * wanted.abs().max())


def _drawn(dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random).div(shape[-1] ** 0.25).to(dtype) for shape in shapes]


def _seconds(clock: Callable[[], float], *runs: Callable[[], Any]) -> list[float]:
    """Median seconds of each, taking turns, after one call to warm up."""
    for run in runs:
        run()
    rounds = [[_timed(run, clock) for run in runs] for _ in range(_ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def _timed(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    began = clock()
    run()
    return clock() - began


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
