"""Makes the training songs: `python -m training.corpus --out DIR --songs 120 --seed 1 --cast train`. Resumable.

DIR/NNNN.npy is int16 [4, 2, samples] in the order of STEMS; DIR/NNNN.json says what was played. Song k of a seed
is always the same.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: a worker is one thread
# Workers keep the memory of big arrays: giving it back and faulting it in again took half their time.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "4000000000")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "4000000000")

import argparse
import json
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.render import Desk
from training.score.compose import compose
from training.score.notes import RATE, STEMS
from training.vocals import voices

PEAK = 0.9
VOICE_SEED = 1
CAST_NUMBERS = {"train": 0, "held-out": 1}


@dataclass(frozen=True)
class Order:
    """One song to make."""

    out: Path
    number: int
    seed: int
    cast: str
    seconds: float
    voices: Path | None


def make(order: Order) -> str:
    target = order.out / f"{order.number:04}.npy"
    if target.is_file():
        return f"{target.name} is there"
    began, cpu = time.monotonic(), _cpu_seconds()
    roots = np.random.SeedSequence([order.seed, order.number, CAST_NUMBERS[order.cast]]).spawn(2)
    writing, playing = (np.random.default_rng(root) for root in roots)
    score, samples = compose(writing, order.seconds), round(order.seconds * RATE)
    desk = Desk(score, order.cast, samples, playing, _bank(order.voices))
    stems = desk.stems()
    peak = float(np.abs(stems.sum(0)).max())
    # A stem may peak above the mix where others cancel it; int16 must hold each of them too.
    stems *= PEAK / max(peak, float(np.abs(stems).max()) * PEAK, 1e-6)
    story = {
        "seed": order.seed, "number": order.number, "cast": order.cast, "style": score.style, "bpm": round(score.bpm, 2),  # noqa: E501
        "key": score.key, "mode": score.mode, "stems": STEMS, "parts": desk.log, "duck": score.duck,
    }  # fmt: skip
    _kept(target, np.round(stems * 32767).clip(-32767, 32767).astype(np.int16), story)
    return f"{target.name} {score.style} {time.monotonic() - began:.1f} s, {_cpu_seconds() - cpu:.1f} s of CPU"


def _bank(folder: Path | None) -> voices.Bank | None:
    """The voices that could be made here. Songs repeat exactly only from the same ones."""
    if folder is None:
        return None
    return voices.Bank(folder, tuple(sorted(path.stem for path in folder.glob("*.npz") if ".part" not in path.name)))


def _cpu_seconds() -> float:
    """This process' own and its finished children's."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _kept(target: Path, stems: np.ndarray, story: dict[str, Any]) -> None:
    """Both files under other names first: what bears its name is whole."""
    target.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n")
    unfinished = target.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, stems)
    unfinished.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--songs", type=int, default=120)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cast", choices=list(CAST_NUMBERS), default="train")
    parser.add_argument("--seconds", type=float, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--voices", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = range(given.first, given.first + given.songs)
    if given.voices:
        voices.open_bank(given.voices, given.cast, VOICE_SEED)
    orders = [Order(given.out, k, given.seed, given.cast, given.seconds, given.voices) for k in numbers]
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for line in pool.imap_unordered(make, orders):
            print(line, flush=True)


if __name__ == "__main__":
    main()
