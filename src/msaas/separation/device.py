"""Which device separates. Refuses to stand in for a device that was asked for by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from msaas.errors import DeviceUnavailable


@dataclass(frozen=True)
class DeviceChoice:
    """A device and, for the log, why it was taken."""

    device: torch.device
    reason: str


def choose_device(wanted: str = "auto") -> DeviceChoice:
    """The device for `wanted`: "auto" (CUDA, else MPS, else CPU), "cuda", "cuda:1", "mps" or "cpu".

    Raises DeviceUnavailable where a device asked for by name is not there: a GPU worker that ran on
    the CPU without a word would look healthy and be fifty times too slow.
    """
    if wanted == "auto":
        return _best()
    device = _parse(wanted)
    if device.type == "cuda":
        _require_cuda(wanted, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceUnavailable(f"device {wanted!r} was asked for; torch {torch.__version__} finds no MPS here")
    return DeviceChoice(device, f"asked for{_model_of(device)}")


def _best() -> DeviceChoice:
    if torch.cuda.is_available():
        device = torch.device("cuda")
        return DeviceChoice(device, f"CUDA is available{_model_of(device)}")
    if torch.backends.mps.is_available():
        return DeviceChoice(torch.device("mps"), "MPS is available, CUDA is not")
    return DeviceChoice(torch.device("cpu"), "neither CUDA nor MPS is available")


def _parse(wanted: str) -> torch.device:
    kind, _, index = wanted.partition(":")
    if kind not in ("cuda", "mps", "cpu") or (index and not index.isdigit()):
        raise DeviceUnavailable(f"device {wanted!r} is none of auto, cuda, cuda:<number>, mps, cpu")
    return torch.device(wanted)


def _require_cuda(wanted: str, index: int) -> None:
    if not torch.cuda.is_available():
        raise DeviceUnavailable(f"device {wanted!r} was asked for; torch {torch.__version__} finds no CUDA here")
    if index >= torch.cuda.device_count():
        raise DeviceUnavailable(f"device {wanted!r} was asked for; {torch.cuda.device_count()} CUDA devices are here")


def _model_of(device: torch.device) -> str:
    return f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
