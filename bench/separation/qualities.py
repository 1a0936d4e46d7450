"""Seconds for a song of four minutes by quality preset, beside Demucs with the same options; whole jobs to MP3.

    python -m bench.separation.qualities [--minutes 4] [--qualities fast balanced best] [--only "demucs (API)" …]

A preset names an overlap and shifts (MSAAS_QUALITY_*), which Demucs' command line and API take as well. They take turns
on one machine, each in a process of its own. Writes a record to bench/results (bench.separation.results compares two).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.separation import results
from bench.separation.memory import make_song
from bench.separation.speed import MODEL, machine, run, save, seeded_htdemucs
from msaas.options import DEMUCS_OVERLAP, QUALITIES
from msaas.settings import Settings

CONTENDERS = ("demucs (command line)", "demucs (API)", "MSaaS fp32", "MSaaS auto")


def main() -> None:
    options = _options()
    presets = {name: preset_of(name) for name in options.qualities}
    rows: results.Rows = {}
    print(f"{machine()}; {options.minutes:g} minutes")
    print(f"\n| quality | overlap | shifts | {' | '.join(options.only)} |\n|---|---|---|{'---|' * len(options.only)}")
    with tempfile.TemporaryDirectory(prefix="msaas-qualities-") as scratch:
        folder = Path(scratch)
        song = make_song(folder, options.minutes)
        job = {"segment": "", "stems": str(folder / "none"), "repo": str(save(seeded_htdemucs(), folder))}
        job |= {"model": MODEL, "song": str(song), "verdicts": str(folder / "verdicts")}
        for quality, preset in presets.items():
            found = {name: run(name, job | preset, folder) for name in options.only}
            rows |= {f"{quality}: {name}": row | preset for name, row in found.items()}
            cells = " | ".join(_cell(found, name) for name in options.only)
            print(f"| {quality} | {preset['overlap']} | {preset['shifts']} | {cells} |", flush=True)
    path = results.write("qualities", rows, {"minutes": options.minutes})
    print(f"\nrecord: {path}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4, help="length of the song")
    parser.add_argument("--qualities", nargs="+", choices=QUALITIES, default=list(QUALITIES))
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    return parser.parse_args()


def preset_of(quality: str) -> dict[str, str]:
    """The overlap and shifts of a preset, as this machine's settings have it."""
    preset = Settings.from_env(os.environ).qualities.get(quality, {})
    return {"overlap": str(preset.get("overlap") or DEMUCS_OVERLAP), "shifts": str(preset.get("shifts") or 0)}


def _cell(found: dict[str, dict[str, Any]], name: str) -> str:
    seconds = found[name]["job_seconds"]
    api = found.get("demucs (API)")
    ratio = f" ({api['job_seconds'] / seconds:.2f}×)" if api and name != "demucs (API)" else ""
    return json.dumps(round(seconds)) + f" s{ratio}"


if __name__ == "__main__":
    main()
