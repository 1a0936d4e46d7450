"""Selects the device that separates. Never substitutes another device for one requested by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from msaas.errors import DeviceUnavailable


@dataclass(frozen=True)
class DeviceChoice:
    """A device and, for the log, the reason for it."""

    device: torch.device
    reason: str


def choose_device(wanted: str = "auto") -> DeviceChoice:
    """The device for `wanted`: "auto" (CUDA, else MPS, else CPU), "cuda", "cuda:1", "mps" or "cpu".

    Raises DeviceUnavailable if a device requested by name is missing: a GPU worker that silently ran on the CPU would
    look healthy and be fifty times too slow.
    """
    if wanted == "auto":
        return _best()
    device = _parse(wanted)
    if device.type == "cuda":
        _require_cuda(wanted, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceUnavailable(f"device {wanted!r} is unavailable: torch {torch.__version__} finds no MPS")
    return DeviceChoice(device, f"requested{_model_of(device)}")


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
        raise DeviceUnavailable(f"device {wanted!r} must be one of auto, cuda, cuda:<number>, mps, cpu")
    return torch.device(wanted)


def _require_cuda(wanted: str, index: int) -> None:
    if not torch.cuda.is_available():
        raise DeviceUnavailable(f"device {wanted!r} is unavailable: torch {torch.__version__} finds no CUDA")
    if index >= torch.cuda.device_count():
        raise DeviceUnavailable(f"device {wanted!r} is unavailable: there are {torch.cuda.device_count()} CUDA devices")


def _model_of(device: torch.device) -> str:
    return f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
