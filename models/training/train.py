"""Trains a small model: `python -m training.train --model NAME --songs DIR --run DIR`. Goes on where it was killed.

On a CPU one process a core, each on one thread, with their gradients averaged: small convolutions gain little from
threads. On CUDA one process, larger batches, bfloat16.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import ctypes.util
import json
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from training.learning.examples import Songs, batch
from training.learning.losses import loss, sdr
from training.learning.optimiser import Muon
from training.learning.recipe import RECIPES, Recipe, build_model, rate_at
from training.package import packaged_weights
from training.score.notes import STEMS

log = logging.getLogger("training")

SAVE_EVERY_SECONDS = 60
REPORT_EVERY_STEPS = 25
CUDA_EXAMPLES = 32


class Run:
    """A folder with the run's state: `checkpoint.pt` (written aside, then renamed) and `log.jsonl`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.log = folder / "checkpoint.pt", folder / "log.jsonl"

    def save(self, state: dict[str, Any]) -> None:
        aside = self.checkpoint.with_suffix(".new")
        torch.save(state, aside)
        aside.replace(self.checkpoint)

    def load(self) -> dict[str, Any] | None:
        return torch.load(self.checkpoint, weights_only=True) if self.checkpoint.exists() else None

    def note(self, entry: dict[str, Any]) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps(entry) + "\n")


class Trainer:
    """One process' share of a run. Every rank holds the same weights; rank 0 writes."""

    def __init__(
        self, recipe: Recipe, songs: Songs, run: Run, rank: int, ranks: int, seconds: float, start: Path | None = None
    ) -> None:
        self.recipe, self.songs, self.run = recipe, songs, run
        self.rank, self.ranks, self.budget_seconds = rank, ranks, seconds
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = build_model(recipe)
        if start is not None:
            self.model.load_state_dict(packaged_weights(start))
        self.model.to(self.device).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimiser = Muon(self.model, recipe.muon_rate, recipe.learning_rate, decay=recipe.muon_decay)
        self.step, self.spent_seconds = 0, 0.0
        self._resume()

    def _resume(self) -> None:
        state = self.run.load()
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.optimiser.full_rates(self.recipe.muon_rate, self.recipe.learning_rate)  # the recipe's, not the file's
        self.step, self.spent_seconds = state["step"], state["spent_seconds"]

    def state(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.as_dict(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent_seconds": self.spent_seconds,
        }

    def train(self) -> None:
        saved = time.monotonic()
        losses: list[float] = []
        scores: list[torch.Tensor] = []
        while (share := self._agreed_share()) < 1.0:
            began = self._clock()
            self.optimiser.scale_rates(rate_at(self.recipe, share))
            value, score = self._one_step()
            self.spent_seconds += self._clock() - began
            self.step += 1
            losses.append(value)
            scores.append(score)
            if self.step % REPORT_EVERY_STEPS == 0:
                self._report(share, losses, scores)
                losses, scores = [], []
            if self.rank == 0 and time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.run.save(self.state())
                saved = time.monotonic()
        if self.rank == 0:
            self.run.save(self.state())

    def _clock(self) -> float:
        """Processor time on a CPU, so that a busy machine takes longer and learns no less."""
        return time.monotonic() if self.device.type == "cuda" else time.process_time()

    def _agreed_share(self) -> float:
        """Of the time budget; rank 0's clock is everybody's, so that all stop at the same step."""
        share = torch.tensor([self.spent_seconds / self.budget_seconds], dtype=torch.float64)
        if self.ranks > 1:
            dist.broadcast(share, 0)
        return float(share)

    def _one_step(self) -> tuple[float, torch.Tensor]:
        recipe = self.recipe
        stems = self._batch().to(self.device)
        on_cuda = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on_cuda or recipe.bfloat16):
            estimate = self.model(stems.sum(1))
        estimate = estimate.float()
        value = loss(estimate, stems, recipe.spectral_weight)
        self.optimiser.zero_grad()
        value.backward()
        self._average_gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        self.optimiser.step()
        self._follow()
        return value.item(), sdr(estimate.detach(), stems).nanmedian(0).values.cpu()

    def _batch(self) -> torch.Tensor:
        recipe = self.recipe
        return batch(self.songs, recipe.seed, self.step, self.rank, recipe.examples_a_step, recipe.segment_seconds)

    def _average_gradients(self) -> None:
        if self.ranks == 1:
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.ranks
        place = 0
        for gradient in gradients:
            gradient.copy_(flat[place : place + gradient.numel()].view_as(gradient))
            place += gradient.numel()

    @torch.no_grad()
    def _follow(self) -> None:
        """The exponential average of the weights, quicker at the start."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    def _report(self, share: float, losses: list[float], scores: list[torch.Tensor]) -> None:
        if self.rank != 0:
            return
        medians = torch.stack(scores).median(0).values
        entry = {
            "step": self.step,
            "seconds": round(self.spent_seconds),
            "share": round(share, 4),
            "loss": round(sum(losses) / len(losses), 4),
            "sdr": {stem: round(float(value), 2) for stem, value in zip(STEMS, medians, strict=True)},
        }
        self.run.note(entry)
        log.info("%s", entry)


def _process(
    rank: int, ranks: int, recipe: Recipe, folders: list[Path], run: Path, seconds: float, start: Path | None
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    _die_with_parent()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    if ranks > 1:
        dist.init_process_group("gloo", rank=rank, world_size=ranks)
    Trainer(recipe, Songs(folders), Run(run), rank, ranks, seconds, start).train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=RECIPES, default="htdemucs_mini")
    parser.add_argument("--songs", type=Path, nargs="+", required=True, help="folders that training.corpus wrote")
    parser.add_argument("--run", type=Path, required=True, help="where the run's state is kept")
    parser.add_argument("--minutes", type=float, default=120, help="of processor time on a CPU")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--from", type=Path, dest="start", metavar="FILE", help="weights that training.package made, to begin with"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other numbers of the recipe")
    options = parser.parse_args()
    recipe = _recipe(RECIPES[options.model], options.set)
    if torch.cuda.is_available():
        recipe = replace(recipe, examples_a_step=CUDA_EXAMPLES)
        _process(0, 1, recipe, options.songs, options.run, options.minutes * 60, options.start)
        return
    os.environ.update(_surroundings())
    arguments = (options.processes, recipe, options.songs, options.run, options.minutes * 60, options.start)
    mp.spawn(_process, arguments, nprocs=options.processes)  # type: ignore[attr-defined]


def _die_with_parent() -> None:
    """A run that was killed leaves no process behind that goes on writing its checkpoint."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _surroundings() -> dict[str, str]:
    """For the processes to come: where they meet, and an allocator that keeps what it has.

    glibc gives big tensors back to the kernel and fetches them zeroed again: a third of the time of a step.
    """
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    tcmalloc = ctypes.util.find_library("tcmalloc_minimal")
    if tcmalloc:
        return here | {"LD_PRELOAD": tcmalloc}
    return here | {"MALLOC_TRIM_THRESHOLD_": str(2**33), "MALLOC_TOP_PAD_": str(2**28)}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _recipe(recipe: Recipe, changes: list[str]) -> Recipe:
    """`channels=24` changes the architecture, `muon_rate=0.03` the run."""
    for change in changes:
        name, _, text = change.partition("=")
        value = json.loads(text)
        if hasattr(recipe, name):
            recipe = replace(recipe, **{name: value})
        else:
            recipe = replace(recipe, architecture={**recipe.architecture, name: value})
    return recipe


if __name__ == "__main__":
    main()
