"""kernels.c, called with tensors. The calls hold no lock of Python's, and use torch's number of threads.

All tensors are on the CPU and contiguous; where numbers are said to fill vectors, they are a multiple of VECTOR.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger(__name__)

VECTOR = 16
LAYOUT = 1  # of arguments and of what they point to, as kernels.c has it
_MODULE = "msaas.separation.engines.compiled.kernels"
_BRANCHES = {torch.bfloat16: "msaas_add_branches_bf16", torch.float32: "msaas_add_branches_float"}
# How many tensors and how many sizes each function takes.
_FUNCTIONS = {"msaas_exponentials": (2, 2), "msaas_quantize": (3, 2), **dict.fromkeys(_BRANCHES.values(), (6, 4))}


@cache
def library() -> ctypes.CDLL | None:
    """The compiled functions; None where they were not compiled."""
    found = importlib.util.find_spec(_MODULE)
    if found is None or found.origin is None:
        log.info("no compiled kernels: there was no C compiler when this package was installed")
        return None
    try:
        _need_whole(Path(found.origin))
        loaded = ctypes.CDLL(found.origin)
        layout = ctypes.c_int32.in_dll(loaded, "msaas_layout").value
        if layout != LAYOUT:
            raise OSError(f"layout {layout} and not {LAYOUT}")
        for name, (tensors, sizes) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.argtypes = [ctypes.c_void_p] * tensors + [ctypes.c_int64] * sizes
            function.restype = None
    except (OSError, AttributeError, ValueError) as error:  # of another machine or release, or damaged
        log.warning("compiled kernels not used: install the package again reason=%s", error)
        return None
    return loaded


def exponentials(scores: Tensor) -> Tensor:
    """[rows, columns] bfloat16 ▸ [rows, 1] float32. Replaces the scores of each row by their exponentials over that of
    the largest, and returns the inverse of their sum. columns fill vectors."""
    _need_vectors(scores)
    sums = scores.new_empty(len(scores), 1, dtype=torch.float32)

    def some(first: int, last: int) -> None:
        _call("msaas_exponentials", scores[first:last], sums[first:last], sizes=(last - first, scores.shape[1]))

    _in_parallel(some, len(scores))
    return sums


def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
    """[N, in] bfloat16 ▸ unsigned integers around 128, [N, in], and what one of them is worth in each row, [N, 1]
    bfloat16. in fills vectors."""
    _need_vectors(rows)
    integers = rows.new_empty(rows.shape, dtype=torch.uint8)
    scales = rows.new_empty(len(rows), 1)

    def some(first: int, last: int) -> None:
        part = slice(first, last)
        _call("msaas_quantize", rows[part], integers[part], scales[part], sizes=(last - first, rows.shape[1]))

    _in_parallel(some, len(rows))
    return integers, scales


def add_branches(rows: Tensor, narrow: Tensor, norm: Tensor, widening: Tensor, eps: Tensor) -> None:
    """Adds a residual branch to each row, in place: group norm and GELU of `narrow`, linear layer, group norm, gate.

    rows: [N, T, C]. narrow: [N, T, h], of the same type. norm: gain and shift, [2, h]. widening: packed_widening.
    eps: of both norms, [2]. Sums are float32.
    """
    count, times, channels = rows.shape
    h = narrow.shape[2]
    if narrow.dtype is not rows.dtype:
        raise RuntimeError(f"rows of {rows.dtype} and {narrow.dtype}")
    width, length = filled(channels), times + 2 * VECTOR
    size = h * length + 2 * (h + 1) * width + h

    def some(first: int, last: int) -> None:
        scratch = torch.empty(size)
        tensors = rows[first:last], narrow[first:last], norm, widening, eps, scratch
        _call(_BRANCHES[rows.dtype], *tensors, sizes=(last - first, times, h, channels))

    _in_parallel(some, count)


def packed_widening(weight: Tensor, bias: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """A linear layer and the norm after it as `add_branches` takes them, one row of numbers (`Wide` in kernels.c).

    weight: [2 C, h]. bias, gain, shift: [2 C].
    """
    mean_weight, mean_bias = weight.mean(0), bias.mean()
    centred, offset = weight - mean_weight, bias - mean_bias
    wide = [_filled(one).flatten() for one in (weight.t(), bias, gain, shift)]
    moments = [weight.t() @ weight, centred.t() @ centred, centred.t() @ offset]
    means = [mean_weight, offset.square().mean()[None], mean_bias[None]]
    return torch.cat([*wide, *(one.flatten() / len(weight) for one in moments), *means]).float().contiguous()


def filled(channels: int) -> int:
    """The number of channels, filled up to whole vectors."""
    return -(-channels // VECTOR) * VECTOR


def _filled(x: Tensor) -> Tensor:
    """[…, 2 C] ▸ […, 2, width]: each half with zeros up to whole vectors."""
    halves = torch.unflatten(x, -1, (2, -1))
    return torch.nn.functional.pad(halves, (0, filled(halves.shape[-1]) - halves.shape[-1]))


def _need_whole(path: Path) -> None:
    """Loading a library that is cut off, as by a full disk, would end the process. Raises OSError if this one is: the
    table of sections is the last part of the ELF files that compilers write."""
    with path.open("rb") as file:
        header = file.read(64)
    if header.startswith(b"\x7fELF\x02\x01"):  # 64 bits, the lowest first
        start, size, count = (int.from_bytes(header[at:to], "little") for at, to in ((40, 48), (58, 60), (60, 62)))
        if path.stat().st_size < start + size * count:
            raise OSError(f"{path}: cut off")


def _need_vectors(rows: Tensor) -> None:
    if rows.dtype is not torch.bfloat16 or rows.shape[-1] % VECTOR:
        raise RuntimeError(f"rows of {rows.shape[-1]} numbers of {rows.dtype}: whole vectors of bfloat16 only")


def _call(name: str, *tensors: Tensor, sizes: tuple[int, ...]) -> None:
    loaded = library()
    if loaded is None or not all(tensor.is_contiguous() for tensor in tensors):
        raise RuntimeError(f"{name}: not compiled, or for contiguous tensors only")
    getattr(loaded, name)(*(tensor.data_ptr() for tensor in tensors), *sizes)


def _in_parallel(work: Callable[[int, int], None], count: int) -> None:
    """work(first, last) of ranges that make up `count`, one for each of torch's threads."""
    parts = min(torch.get_num_threads(), count)
    if parts <= 1:
        work(0, count)
        return
    edges = [count * part // parts for part in range(parts + 1)]
    list(_pool().map(work, edges[:-1], edges[1:]))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="kernels")
