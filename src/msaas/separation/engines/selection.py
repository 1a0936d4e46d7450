"""Selects the fastest engine whose output agrees with the network's own forward.

At load a test sound goes through both. float32 must agree to 1e-4 of full scale, other types, and TF32, to 40 dB
signal-to-difference ratio, with 8-bit integers in each stem. An engine that fails the check is not used, and half
precision only where it is faster. With precision "fp32" TF32 is not used.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from msaas.separation import memory
from msaas.separation.engines.compiled.library import library
from msaas.separation.engines.engine import Autocast, Engine, TorchEngine
from msaas.separation.engines.htdemucs import ChannelsLast, Unsupported, has_wide_tokens
from msaas.separation.engines.htdemucs.fastest import measured_kernels
from msaas.separation.engines.htdemucs.kernels import Kernels, KernelSet
from msaas.separation.engines.tf32 import forbid_tf32, may_use_tf32, without_tf32
from msaas.separation.model import Network

log = logging.getLogger(__name__)

MIN_SNR_DB = 40.0
FP32_TOLERANCE = 1e-4  # of full scale
# Of a segment, for the check. A whole one takes longer and gives the same verdict:
# `python -m bench.separation.speed --halves`
CHECKED_FRACTION = 1 / 3
INT8_SUFFIX = "+int8"
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class EngineChoice(NamedTuple):
    """How a network is run, for the log and each job's report."""

    layout: str  # "channels_last", or "module" for the network's own forward
    precision: str
    snr_db: float | None  # signal-to-difference ratio against the network's own forward; None for that itself
    kernels: Mapping[str, Sequence[str]] = MappingProxyType({})  # by precision, those of `Kernels` that are used

    def as_report(self) -> dict[str, Any]:
        """Ready for JSON. The precision is "bf16+int8" with 8-bit integers."""
        precision = self.precision + (INT8_SUFFIX if "int8" in self.kernels.get(self.precision, ()) else "")
        kernels = {name: list(used) for name, used in self.kernels.items()}
        return {**self._asdict(), "precision": precision, "kernels": kernels}


class _Variant(NamedTuple):
    """A way to run the network in one type. Built only when it is tried: each has its own copy of the weights."""

    build: Callable[[], Engine]
    kernels: Mapping[str, Sequence[str]] = MappingProxyType({})


Variants = Mapping[torch.dtype, Sequence[_Variant]]  # by type; of each, the first that agrees is used


def has_bf16() -> bool:
    """Whether the CPU has bfloat16 instructions. torch's emulation is many times slower."""
    known = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(ask() for ask in known if ask is not None)


def choose_engine(
    network: Network,
    device: torch.device,
    precision: str = "auto",
    *,
    bf16: Callable[[], bool] = has_bf16,
    kernels: Callable[[torch.dtype], Kernels] = measured_kernels,
    clock: Callable[[], float] | None = None,
) -> tuple[Engine, EngineChoice]:
    """The fastest engine for a network that passes its check, and the result of the check.

    precision: "fp32", or "auto" to also try half precision where the device has it. bf16: whether the CPU has it.
    kernels: the fastest implementations for a type on the CPU. clock: seconds; read before and after a forward. By
    default those of this process on a CPU, where other programs may share the cores.
    """
    if precision == "fp32":
        forbid_tf32()
    original = TorchEngine(network.module, device)
    dtypes = list(candidates(device, precision, bf16))
    layout, variants = _variants(network, original, device, dtypes, kernels)
    clock = clock or (time.process_time if device.type == "cpu" else time.monotonic)
    checked = _fastest_checked(original, variants, network, layout, device, clock) if variants else None
    del variants
    memory.trim_heap()
    return checked or _unchecked(original)


def engine_of(network: Network, device: torch.device, choice: EngineChoice) -> Engine:
    """The engine of an earlier choice for the same network on this machine; not checked again.

    Raises Unsupported or RuntimeError if the network or this machine does not support it.
    """
    dtype = {name: dtype for dtype, name in PRECISIONS.items()}[choice.precision]
    if choice.layout == "module":
        original = TorchEngine(network.module, device)
        if choice.snr_db is None:
            return _unchecked(original)[0]
        return original if dtype is torch.float32 else Autocast(original, device, dtype)
    kernels = {one: Kernels.of(list(choice.kernels.get(name, ()))) for one, name in PRECISIONS.items()}
    if library() is None and any(used.compiled for used in kernels.values()):
        raise RuntimeError("compiled kernels are not installed here")
    return TorchEngine(ChannelsLast(network.module, device, dtype, kernels), device)


def _unchecked(original: Engine) -> tuple[Engine, EngineChoice]:
    """The network's own forward in exact float32: no check has shown that TF32's rounding is small."""
    forbid_tf32()
    return original, EngineChoice("module", "fp32", None)


def _variants(
    network: Network,
    original: Engine,
    device: torch.device,
    dtypes: Sequence[torch.dtype],
    fastest: Callable[[torch.dtype], Kernels],
) -> tuple[str, Variants]:
    """The engines to choose from, and their layout; none if there is nothing to compare."""
    if network.chunks is not None:
        halves = [dtype for dtype in dtypes if dtype is not torch.float32]
        autocast = {dtype: [_Variant(partial(Autocast, original, device, dtype))] for dtype in halves}
        return "module", {torch.float32: [_Variant(lambda: original)], **autocast} if halves else {}
    if not _is_supported(network, device):
        return "module", {}
    measured = {dtype: fastest(dtype) for dtype in dtypes} if device.type == "cpu" else {}

    def variant(dtype: torch.dtype, kernels: KernelSet) -> _Variant:
        names = {PRECISIONS[one]: found.names() for one, found in kernels.items()}
        return _Variant(lambda: TorchEngine(ChannelsLast(network.module, device, dtype, kernels), device), names)

    has_int8 = has_wide_tokens(network.module)
    return "channels_last", {
        dtype: [variant(dtype, kernels) for kernels in _kernel_sets(dtype, measured, int8=has_int8)] for dtype in dtypes
    }


def _kernel_sets(dtype: torch.dtype, measured: KernelSet, *, int8: bool) -> list[KernelSet]:
    """For an engine of one type, the fastest first, then without those that cost fidelity, then torch's public
    operations. int8: whether the network has layers for it."""
    found = {one: kernels for one, kernels in measured.items() if one in (dtype, torch.float32)}
    if not int8:
        found = {one: replace(kernels, int8=False) for one, kernels in found.items()}
    sets: list[KernelSet] = []
    for dropped in ((), ("half_gates",), ("half_gates", "int8")):
        fewer = {one: replace(kernels, **dict.fromkeys(dropped, False)) for one, kernels in found.items()}
        if fewer not in sets and any(kernels != Kernels() for kernels in fewer.values()):
            sets.append(fewer)
    return [*sets, {}]


def _is_supported(network: Network, device: torch.device) -> bool:
    try:
        ChannelsLast(network.module, device)
    except Unsupported as reason:
        log.info("using the network's own forward reason=%s", reason)
        return False
    return True


def _fastest_checked(
    original: Engine,
    variants: Variants,
    network: Network,
    layout: str,
    device: torch.device,
    clock: Callable[[], float],
) -> tuple[Engine, EngineChoice] | None:
    best: tuple[float, Engine, EngineChoice] | None = None
    with _without_padding(network.module):
        sound = _sound(network, _check_samples(network))
        with without_tf32():
            expected = original.forward(sound)
        memory.trim_heap()  # it takes more memory than the engines will
        for dtype, tried in variants.items():
            for variant in tried:
                found = _checked(variant, sound, expected, dtype, device, clock)
                memory.trim_heap()
                if found is not None:
                    break
            else:
                continue
            engine, snr_db, seconds = found
            if best is None or seconds < best[0]:
                best = seconds, engine, EngineChoice(layout, PRECISIONS[dtype], round(snr_db, 1), variant.kernels)
    return best[1:] if best else None


def _checked(
    variant: _Variant,
    sound: Tensor,
    expected: Tensor,
    dtype: torch.dtype,
    device: torch.device,
    clock: Callable[[], float],
) -> tuple[Engine, float, float] | None:
    """The engine, its ratio in dB and its seconds, if its output agrees with `expected`.

    sound: [1, C, samples]; expected: [1, stems, C, samples]. On a CPU only one forward is run and timed: a second one
    would lengthen the start.
    """
    try:
        engine = variant.build()
        if device.type != "cpu":
            engine.forward(sound)  # which loads the kernels
        began = clock()
        actual = engine.forward(sound)
        seconds = clock() - began
    except RuntimeError as error:  # torch has no kernel for this type here: oneDNN's LSTM needs more than AVX2
        log.warning("engine not used: it fails precision=%s reason=%s", PRECISIONS[dtype], error)
        return None
    snr_db = _snr_db(actual, expected)
    in_integers = "int8" in variant.kernels.get(PRECISIONS[dtype], ())
    exact = dtype is torch.float32 and not may_use_tf32(device)
    if _agrees(actual, expected, exact=exact, each_stem=in_integers):
        return engine, snr_db, seconds
    log.warning(
        "engine not used: it differs from the network's own forward precision=%s snr_db=%.1f", PRECISIONS[dtype], snr_db
    )
    return None


@contextmanager
def _without_padding(network: Any) -> Iterator[None]:
    """Within this context an HTDemucs does not pad input shorter than its training segment."""
    if not hasattr(network, "use_train_segment"):
        yield
        return
    pads, network.use_train_segment = network.use_train_segment, False
    try:
        yield
    finally:
        network.use_train_segment = pads


def candidates(device: torch.device, precision: str, bf16: Callable[[], bool]) -> Iterator[torch.dtype]:
    """float32 first: of two equally fast types, the first is used."""
    if device.type not in ("cpu", "cuda"):
        return
    yield torch.float32
    if precision == "auto" and device.type == "cuda":
        yield torch.float16
    if precision == "auto" and device.type == "cpu" and bf16():
        yield torch.bfloat16


def _check_samples(network: Network) -> int:
    """Networks of other families say a length of their own: they take seconds for one of sound."""
    samples: int | None = getattr(network.module, "check_samples", None)
    return int(network.segment_samples * CHECKED_FRACTION) if samples is None else samples


def _sound(network: Network, samples: int) -> Tensor:
    """A test sound of chords, a pulse and noise, [1, C, samples], with standard deviation 1."""
    module: Any = network.module
    rate, channels = int(module.samplerate), int(module.audio_channels)
    random = torch.Generator().manual_seed(0)
    time_axis = torch.arange(samples) / rate
    pitches = 55 * 2 ** (torch.randint(0, 60, (channels, 12, 1), generator=random) / 12)
    tones = torch.sin(2 * torch.pi * pitches * time_axis) / pitches.sqrt() * 8
    pulse = torch.exp(-20 * (time_axis * 2 % 1)) * torch.randn(channels, samples, generator=random)
    sound = tones.sum(1) + pulse + 0.1 * torch.randn(channels, samples, generator=random)
    return (sound / sound.std())[None]


def _agrees(actual: Tensor, expected: Tensor, *, exact: bool, each_stem: bool = False) -> bool:
    """[B, stems, C, N] twice."""
    if exact:
        return bool((actual - expected).abs().max() <= FP32_TOLERANCE * max(1.0, float(expected.abs().max())))
    parts = zip(actual.unbind(1), expected.unbind(1), strict=True) if each_stem else [(actual, expected)]
    return all(_snr_db(*part) >= MIN_SNR_DB for part in parts)


def _snr_db(actual: Tensor, expected: Tensor) -> float:
    difference = (actual - expected).double().pow(2).sum() + 1e-20
    return float(10 * torch.log10(expected.double().pow(2).sum() / difference))
