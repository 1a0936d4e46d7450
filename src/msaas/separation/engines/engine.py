"""How a batch of segments goes through a network. Knows nothing of songs, files or stems' names.

`Engine` is all that streaming asks of it; a faster engine need only keep to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Protocol

import torch
from torch import Tensor, nn

from msaas.separation.interrupt import check

# Segments at once on a CPU. Each more takes its own activations (docs/performance.md), and four leave few cores idle
# whose number is not divisible.
MOST_LANES = 4
CUDA_BATCH = 8


class Engine(Protocol):
    """Runs one network. Batches come and go in the CPU's memory: the device is the engine's own affair."""

    def forward(self, batch: Tensor) -> Tensor:
        """[B, C, samples] ▸ [B, S, C, samples], both float32 on the CPU. `samples` is what the network wants."""
        ...


class TorchEngine:
    """A network on one device: a module's own forward in float32, or a function that stands for it."""

    def __init__(self, network: nn.Module | Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._network = interrupted(network).to(device).eval() if isinstance(network, nn.Module) else network
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
        output: Tensor = self._network(batch.to(self._device))
        return output.to("cpu", torch.float32)


def interrupted(network: nn.Module) -> nn.Module:
    """The same network; each of its modules asks first whether to go on."""
    for module in network.modules():
        module.register_forward_pre_hook(check)
    return network


class ParallelSegments:
    """The segments of a batch side by side on a CPU, each on its share of the cores.

    A segment on all cores spends much of its time waiting for the slowest of them, at each of some thousand steps;
    two segments on a core each do not wait at all.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        """threads: in all."""
        self._engine, self._threads = engine, threads
        self._pool = ThreadPoolExecutor(lanes_of(threads), thread_name_prefix="lane")

    def forward(self, batch: Tensor) -> Tensor:
        lanes = min(len(batch), lanes_of(self._threads))
        if lanes == 1:
            return self._run(batch, self._threads)
        share = self._threads // lanes
        runs = [self._pool.submit(copy_context().run, self._run, segment, share) for segment in torch.split(batch, 1)]
        wait(runs)  # where one is interrupted, all are: none may go on beside the next song
        return torch.cat([run.result() for run in runs])

    def _run(self, batch: Tensor, threads: int) -> Tensor:
        torch.set_num_threads(threads)  # of the calling thread alone, but for MKL: so at every run
        return self._engine.forward(batch)


def lanes_of(threads: int) -> int:
    """Segments at once where there are so many threads."""
    return max(1, min(threads, MOST_LANES))


def cpu_threads() -> int:
    """What torch was told to use, or may; never more than the cores this process may run on."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), allowed))


def default_batch(device: torch.device, threads: int) -> int:
    """Segments a forward, by device."""
    return {"cuda": CUDA_BATCH, "cpu": lanes_of(threads)}.get(device.type, 1)
