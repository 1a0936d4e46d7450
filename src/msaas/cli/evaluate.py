"""`msaas evaluate`: how well a model separates songs whose stems are known."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msaas.cli.paths import existing_folder, path_argument
from msaas.client.names import printable
from msaas.errors import AudioError
from msaas.evaluation import METRICS
from msaas.local.model import choose_model
from msaas.options import MAX_OVERLAP, MAX_SHIFTS, QUALITIES, Options
from msaas.settings import Settings

if TYPE_CHECKING:
    from msaas.evaluation.evaluate import SongScore


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a model on songs whose stems are known",
        description="Separates each song of FOLDER and prints the SDR of each stem in dB: the median over the songs. "
        "FOLDER is laid out like MUSDB18-HQ: a folder a song, with mixture.wav and one WAV or FLAC file a stem.",
        epilog="Exit status: 0 all songs are measured, 1 some could not be, 2 wrong usage.",
    )
    parser.add_argument("model", metavar="MODEL", help="as `msaas models list` names it")
    parser.add_argument("folder", type=path_argument, metavar="FOLDER", help="songs with their stems")
    parser.add_argument(
        "--metric",
        choices=(*METRICS, "both"),
        default="both",
        help="global: one ratio over the song (MDX, MVSEP); museval: BSS Eval v4, median of frames of a second "
        "(SiSEC); (%(default)s)",
    )
    parser.add_argument("--quality", choices=QUALITIES, help="as MSAAS_QUALITY_* have it")
    parser.add_argument("--overlap", type=float, metavar="FRACTION", help=f"0 to {MAX_OVERLAP:g}")
    parser.add_argument("--shifts", type=int, metavar="N", help=f"0 to {MAX_SHIFTS}")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N songs")
    parser.add_argument("--json", action="store_true", help="one JSON object a song, then one with the medians")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from msaas.cli.songs.local import check_sandbox, loader
    from msaas.evaluation.evaluate import Evaluation
    from msaas.evaluation.references import LAYOUT, reference_songs

    songs = reference_songs(existing_folder(args.folder, LAYOUT))[: args.limit]
    environ = dict(os.environ) | {"MSAAS_MODEL": args.model}
    settings = Settings.from_env(environ | dict(choose_model(environ).environ))
    given = {name: getattr(args, name) for name in ("model", "quality", "overlap", "shifts")} | {"format": "wav"}
    options = Options.parse(given, default_model=args.model, allowed=(args.model,), qualities=settings.qualities)
    check_sandbox(settings)
    metrics = METRICS if args.metric == "both" else (args.metric,)
    evaluation = Evaluation(loader(settings)(settings.model), options, metrics, settings.scratch_dir)
    scores, failed = [], 0
    for song in songs:
        try:
            scores.append(evaluation.score(song))
        except AudioError as error:
            failed += 1
            sys.stderr.write(f"msaas: {printable(song.name)}: {error}\n")
        else:
            print(_line(scores[-1], as_json=args.json), flush=True)
    print(_summary(args.model, scores, metrics, as_json=args.json))
    return 1 if failed or not scores else 0


def _line(score: SongScore, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"song": score.name, "seconds": score.seconds, "sdr": _numbers(score.sdr)})
    ratios = "; ".join(f"{metric} {_listed(by_stem)}" for metric, by_stem in score.sdr.items())
    return f"{printable(score.name)} ({score.seconds:.0f} s): {ratios}"


def _summary(model: str, scores: Sequence[SongScore], metrics: Sequence[str], *, as_json: bool) -> str:
    from msaas.evaluation.evaluate import averages

    medians = {metric: averages(scores, metric) for metric in metrics}
    if as_json:
        return json.dumps({"model": model, "songs": len(scores), "median_sdr": _numbers(medians)})
    lines = [f"{model}, {len(scores)} songs, median SDR in dB"]
    return "\n".join([*lines, *(f"  {metric:8} {_listed(by_stem)}" for metric, by_stem in medians.items())])


def _listed(by_stem: dict[str, float]) -> str:
    return ", ".join(f"{stem} {_shown(value)}" for stem, value in by_stem.items()) or "no stem has a known one"


def _shown(value: float) -> str:
    return "silent" if math.isnan(value) else f"{value:.2f}"


def _numbers(by_metric: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """nan, which JSON does not have, is null."""
    return {
        metric: {stem: None if math.isnan(value) else round(value, 4) for stem, value in by_stem.items()}
        for metric, by_stem in by_metric.items()
    }
