"""Runs a batch of segments through a network. Independent of songs, files and stem names.

Streaming depends on the `Engine` protocol only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from msaas.separation.interrupt import check

CUDA_BATCH = 8


class Engine(Protocol):
    """Runs one network. Batches are passed in CPU memory; the engine moves them to its device."""

    def forward(self, batch: Tensor) -> Tensor:
        """[B, C, samples] ▸ [B, S, C, samples], both float32 on the CPU. `samples` is the network's segment length."""
        ...


class TorchEngine:
    """A network on one device: a module's own forward in float32, or an equivalent function."""

    def __init__(self, network: nn.Module | Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._network = interrupted(network).to(device).float().eval() if isinstance(network, nn.Module) else network
        self._device = device

    @torch.inference_mode()
    def forward(self, batch: Tensor) -> Tensor:
        try:
            return self._run(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # A shared card may have less free memory than it reported: smaller batches give the same result.
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return torch.cat([self.forward(batch[:half]), self.forward(batch[half:])])

    def _run(self, batch: Tensor) -> Tensor:
        if self._device.type == "cuda":
            return self._run_on_card(batch)
        output: Tensor = self._network(batch.to(self._device))
        return output.to("cpu", torch.float32)

    def _run_on_card(self, batch: Tensor) -> Tensor:
        """Copies by way of page-locked memory, which a card reads and writes by itself, several times as fast."""
        output: Tensor = self._network(_page_locked(batch).to(self._device, non_blocking=True))
        result = _page_locked(torch.empty(output.shape))
        result.copy_(output, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return result


def _page_locked(tensor: Tensor) -> Tensor:
    """The tensor in page-locked memory; as it is if the system grants no more of that."""
    try:
        return tensor.pin_memory()
    except RuntimeError:
        return tensor


class Autocast:
    """An engine whose matrix products and convolutions run in half precision."""

    def __init__(self, engine: Engine, device: torch.device, dtype: torch.dtype) -> None:
        self._engine, self._device, self._dtype = engine, device, dtype

    def forward(self, batch: Tensor) -> Tensor:
        with torch.autocast(self._device.type, dtype=self._dtype):
            return self._engine.forward(batch)


def interrupted(network: nn.Module) -> nn.Module:
    """Returns the network, with a check for cancellation before each of its modules."""
    for module in network.modules():
        module.register_forward_pre_hook(check)
    return network


def cpu_threads() -> int:
    """torch's number of threads, at most the number of cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), allowed))


def default_batch(device: torch.device) -> int:
    """Segments per forward, by device."""
    return CUDA_BATCH if device.type == "cuda" else 1
