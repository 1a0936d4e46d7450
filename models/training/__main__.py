"""The whole making of the small models: `python -m training all` renders, trains, packages and evaluates.

Each part goes on where it was stopped and skips what is done, so the same command after a kill is the way to go on.
Refuses to begin without the Debian packages that the songs are made of: it installs them as root, else names them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.learning.recipe import RECIPES

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent
ROOT = MODELS.parent
WORK = ROOT / "build" / "small_models"
SONG_SECONDS = 50


@dataclass(frozen=True)
class Songs:
    """A folder of songs: how many, by which seed, of which sounds and voices."""

    title: str
    cast: str
    count: int
    seed: int

    @property
    def folder(self) -> Path:
        return WORK / self.title.replace(" ", "-")

    @property
    def done(self) -> bool:
        return len(list(self.folder.glob("*.npy"))) >= self.count


TRAINING = Songs("training", "train", 280, 1)
HELD_OUT = Songs("other soundfonts and voices", "held-out", 14, 7001)
IN_DOMAIN = Songs("the same soundfonts and voices", "train", 6, 9001)


def render(songs: Songs) -> None:
    if songs.done:
        return
    _ask_for_packages()
    amount = ["--songs", str(songs.count), "--seed", str(songs.seed), "--seconds", str(SONG_SECONDS)]
    voices = ["--cast", songs.cast, "--voices", str(WORK / "voices" / songs.cast)]
    _python("training.corpus", "--out", str(songs.folder), *amount, *voices)


def train(models: Sequence[str], minutes: float) -> None:
    render(TRAINING)
    for name in models:
        run = ["--model", name, "--run", str(WORK / "runs" / name)]
        _python("training.train", *run, "--songs", str(TRAINING.folder), "--minutes", str(minutes))
        _python("training.package", *run, "--out", str(MODELS / name))


def evaluate(card: bool) -> None:
    render(HELD_OUT)
    render(IN_DOMAIN)
    folders = [f"{songs.title}={songs.folder}" for songs in (HELD_OUT, IN_DOMAIN)]
    into = ["--card", str(MODELS / "README.md")] if card else []
    _python("training.evaluate", "--songs", *folders, *into)


def _ask_for_packages() -> None:
    """Raises SystemExit naming what is missing, where it cannot be installed."""
    wanted = [line for line in (HERE / "packages.txt").read_text().splitlines() if line and line[0] != "#"]
    missing = [name for name in wanted if not _installed(name)]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(
            f"The songs are made of sounds from Debian packages that are not here. As root:\n  {' '.join(install)}"
        )
    print(f"installing {len(missing)} Debian packages of sounds", flush=True)
    subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=subprocess.DEVNULL)  # noqa: S607 - root's own PATH
    subprocess.run(
        install, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    )


def _installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    if shutil.which(query[0]) is None:
        return False
    return subprocess.run(query, check=False, capture_output=True, text=True).stdout == "installed"


def _python(module: str, *arguments: str) -> None:
    path = os.pathsep.join((str(ROOT / "data"), str(MODELS)))
    subprocess.run([sys.executable, "-P", "-m", module, *arguments], check=True, env=os.environ | {"PYTHONPATH": path})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("part", choices=("all", "songs", "train", "eval"))
    parser.add_argument("--models", nargs="+", choices=RECIPES, default=list(RECIPES), help="those to train")
    parser.add_argument("--minutes", type=float, default=120, help="of training a model; of processor time on a CPU")
    parser.add_argument("--no-card", action="store_true", help="print the figures, leave the model card as it is")
    options = parser.parse_args()
    if options.part == "songs":
        render(TRAINING)
    if options.part in ("train", "all"):
        train(options.models, options.minutes)
    if options.part in ("eval", "all"):
        evaluate(card=not options.no_card)


if __name__ == "__main__":
    main()
