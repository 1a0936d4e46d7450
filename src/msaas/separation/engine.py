"""How a batch of segments goes through a network. Knows nothing of songs, files or stems' names.

`Engine` is all that streaming asks of it; a faster engine need only keep to it.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class Engine(Protocol):
    """Runs one network. Batches come and go in the CPU's memory: the device is the engine's own affair."""

    def forward(self, batch: Tensor) -> Tensor:
        """[B, C, samples] ▸ [B, S, C, samples], both float32 on the CPU. `samples` is what the network wants."""
        ...


class TorchEngine:
    """The network's own forward, in float32, on one device."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._module = module.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def forward(self, batch: Tensor) -> Tensor:
        try:
            return self._run(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # A card shared with others may hold less than it seemed to: smaller batches give the same result.
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return torch.cat([self.forward(batch[:half]), self.forward(batch[half:])])

    def _run(self, batch: Tensor) -> Tensor:
        output: Tensor = self._module(batch.to(self._device))
        return output.to("cpu", torch.float32)


def default_batch(device: torch.device) -> int:
    """Segments a forward, by device."""
    return 8 if device.type == "cuda" else 1
