"""How well a model separates: `python -m training.evaluate --songs DIR`. Median SDR a stem, beside what costs nothing.

A song's SDR is over the whole song, left and right together (losses.sdr); a stem that is silent throughout a song
has none. A model runs as the service runs it: normalised by the whole song, its own overlap, no shifts.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from msaas.catalogue import catalogue
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.overlap_add import separate_stream
from msaas.separation.weights.loader import load_model
from training.learning.examples import FULL_SCALE, SILENT
from training.learning.losses import sdr
from training.learning.plain import plain_separation
from training.score.notes import STEMS

MODELS = Path(__file__).resolve().parent.parent
MIXTURE = "the mixture itself"
Separator = Callable[[torch.Tensor], torch.Tensor]  # [2, samples] ▸ [4, 2, samples]


@dataclass(frozen=True)
class Stats:
    """Of a song: what the service measures in its first pass."""

    total_samples: int
    mean: float
    std: float


def by_service(name: str, repo: Path) -> Separator:
    """The model `repo/name` as a worker runs it in float32."""
    model = load_model(name, repo=repo, sources=[])
    engines = [TorchEngine(network.module, torch.device("cpu")) for network in model.networks]
    order = [model.sources.index(stem) for stem in STEMS]

    def separate(mix: torch.Tensor) -> torch.Tensor:
        centre = mix.mean(0)
        stats = Stats(mix.shape[-1], float(centre.mean()), float(centre.std()))
        spans = separate_stream([mix.numpy()], stats, model, engines, sources=order)
        return torch.from_numpy(np.concatenate([span.stems for span in spans], axis=-1))

    return separate


def the_mixture(mix: torch.Tensor) -> torch.Tensor:
    return mix.expand(len(STEMS), *mix.shape)


def a_quarter(mix: torch.Tensor) -> torch.Tensor:
    return the_mixture(mix) / len(STEMS)


def scores(separators: Mapping[str, Separator], folder: Path) -> dict[str, np.ndarray]:
    """Each separator's SDRs, [songs, 4] in dB; nan where a stem is silent. Raises FileNotFoundError without songs."""
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise FileNotFoundError(f"no rendered songs in {folder}")
    rows: dict[str, list[np.ndarray]] = {name: [] for name in separators}
    for file in files:
        stems = torch.from_numpy(np.load(file).astype(np.float32) / FULL_SCALE)
        quiet = stems.pow(2).mean((-1, -2)).sqrt() < SILENT
        for name, separate in separators.items():
            values = sdr(separate(stems.sum(0)), stems)
            rows[name].append(torch.where(quiet, torch.nan, values).numpy())
    return {name: np.stack(found) for name, found in rows.items()}


def with_gain(found: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The same scores and, in dB, what each stem of the model `name` gains over the mixture."""
    return {**found, f"{name} over the mixture": found[name] - found[MIXTURE]}


def table(title: str, found: Mapping[str, np.ndarray]) -> str:
    """Markdown: medians over the songs, and their mean over the stems."""
    songs = len(next(iter(found.values())))
    lines = [f"| {title}, {songs} songs, median SDR in dB | {' | '.join(STEMS)} | mean |", "|---" * 6 + "|"]
    for name, values in found.items():
        medians = np.nanmedian(values, axis=0)
        cells = [f"{value:.2f}".replace("-", "−") for value in (*medians, medians.mean())]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_into(card: Path, text: str) -> None:
    """Between the card's two marks; everything else stays."""
    marks = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)
    whole = card.read_text()
    if not marks.search(whole):
        raise ValueError(f"{card} has no place for the figures")
    card.write_text(marks.sub(lambda found: f"{found[1]}{text}\n{found[2]}", whole))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", nargs="+", metavar="TITLE=DIR", required=True)
    parser.add_argument("--models", nargs="+", default=catalogue().shipped())
    parser.add_argument("--repo", type=Path, default=MODELS, help="a folder of models, each in a folder of its name")
    parser.add_argument("--card", type=Path, help="a model card to write the tables into")
    parser.add_argument("--json", type=Path, help="a file for the figures of every song")
    options = parser.parse_args()
    separators = {
        MIXTURE: the_mixture,
        "a quarter of it": a_quarter,
        "plain signal processing": plain_separation,
        **{name: by_service(name, options.repo) for name in options.models},
    }
    folders = dict(pair.split("=", 1) for pair in options.songs)
    found = {
        title: with_gain(scores(separators, Path(folder)), options.models[-1]) for title, folder in folders.items()
    }
    text = "\n\n".join(table(title, values) for title, values in found.items())
    print(text)
    if options.card:
        write_into(options.card, text)
    if options.json:
        figures = {t: {n: v.round(3).tolist() for n, v in values.items()} for t, values in found.items()}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
