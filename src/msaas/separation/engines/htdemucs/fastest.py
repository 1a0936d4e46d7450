"""Which implementation of an operation is the fastest on this CPU, by measuring them when a model is loaded.

It depends on the CPU, the type and torch's build.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from demucs.demucs import DConv
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.compiled.library import library
from msaas.separation.engines.htdemucs.branches import ResidualBranches
from msaas.separation.engines.htdemucs.int8 import Int8
from msaas.separation.engines.htdemucs.kernels import Kernels, Packed, composed_attention, fused_attention
from msaas.separation.engines.htdemucs.products import Weights

# Of what is timed: the products of htdemucs' transformer, and its outermost encoder.
_TOKENS, _WIDTH = 1344, 512
_ROWS, _CHANNELS = 8064, 48
_BANDS, _TIMES = 16, 336
_ROUNDS = 3
_FASTER = 0.97  # of the public implementation's time: a private one that gains less is not used
# Where oneDNN has no kernel for these integers its reference implementation takes minutes for what is timed, so a few
# tokens are tried first.
_PROBED, _FAR_SLOWER = 4, 20


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
        kernels = replace(kernels, compiled=_compiled_is_faster(dtype, kernels, clock))
        kernels = replace(
            kernels,
            composed_attention=_composed_is_faster(dtype, clock, compiled=kernels.compiled),
            half_gates=dtype is not torch.float32 and _convolution_is_faster(dtype, clock),
        )
        return replace(kernels, int8=_is_exact(dtype) and _int8_is_faster(dtype, kernels, clock))


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


def _composed_is_faster(dtype: torch.dtype, clock: Callable[[], float], *, compiled: bool) -> bool:
    query, key, value = _drawn(dtype, (1, 2, _TOKENS, 64), *[(1, 2, 2 * _TOKENS, 64)] * 2)
    fused, composed = _seconds(
        clock,
        lambda: fused_attention(query, key, value),
        lambda: composed_attention(query, key, value, compiled=compiled),
    )
    return composed < _FASTER * fused


def _compiled_is_faster(dtype: torch.dtype, kernels: Kernels, clock: Callable[[], float]) -> bool:
    """Than torch's operations for a residual branch, and the same."""
    if library() is None:
        return False
    with torch.random.fork_rng(devices=[]):
        module = DConv(_CHANNELS, compress=8, depth=1, init=0.1)
    own, compiled = (
        ResidualBranches(module, Weights(torch.device("cpu"), dtype, {dtype: used}))
        for used in (kernels, replace(kernels, compiled=True))
    )
    rows, other = _drawn(dtype, *[(_BANDS, _TIMES, _CHANNELS)] * 2)
    other.copy_(rows)
    own.add_to(rows)
    compiled.add_to(other)
    tolerance = 1e-4 if dtype is torch.float32 else 0.02
    if (rows.float() - other.float()).abs().max() > tolerance * rows.float().abs().max():
        return False
    before, after = _seconds(clock, lambda: own.add_to(rows.clone()), lambda: compiled.add_to(rows.clone()))
    return after < _FASTER * before


def _convolution_is_faster(dtype: torch.dtype, clock: Callable[[], float]) -> bool:
    """Than in float32."""
    x, kernel = _drawn(torch.float32, (1, _CHANNELS, _BANDS, _TIMES), (_CHANNELS, _CHANNELS, 3, 3))
    x, kernel = (one.contiguous(memory_format=torch.channels_last) for one in (x, kernel))
    half_x, half_kernel = x.to(dtype), kernel.to(dtype)
    exact, half = _seconds(
        clock, lambda: F.conv2d(x, kernel, padding=1), lambda: F.conv2d(half_x, half_kernel, padding=1)
    )
    return half < _FASTER * exact


def _int8_is_faster(dtype: torch.dtype, kernels: Kernels, clock: Callable[[], float]) -> bool:
    """Than the product that would be used instead. Not for float32, which has to be exact."""
    if dtype is not torch.bfloat16 or not _int8_is_right(dtype):
        return False
    x, weight, bias = _drawn(dtype, (_TOKENS, _WIDTH), (4 * _WIDTH, _WIDTH), (4 * _WIDTH,))
    other = Packed(weight, bias, _TOKENS) if kernels.packed else partial(F.linear, weight=weight, bias=bias)
    int8 = Int8(weight, bias, _TOKENS, compiled=kernels.compiled)
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
    """The least seconds of each, taking turns, after one call to warm up: other work on the machine only adds."""
    for run in runs:
        run()
    rounds = [[_timed(run, clock) for run in runs] for _ in range(_ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


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
