"""Peak memory of separating a short and a long song, each in a process of its own. Refuses (exit 1) growth over 10 %.

    python -m bench.separation.memory [--minutes 3 60] [--model htdemucs_mini] [--repo models] [--format mp3]

Beside it stands Demucs' own (demucs.api.Separator) on the short song. What is measured is the largest resident memory
of the process and its children together, looked at twenty times a second, everything included: Python, torch, the
model, the codecs. Ours is started as a worker starts its separation process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.support.watching import Watch
from msaas.separation import PROCESS_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
RATE = 44_100
TOLERANCE = 0.10


def main() -> int:
    options = _options()
    if options.child:
        print(json.dumps(_CHILDREN[options.child](options)))
        return 0
    with tempfile.TemporaryDirectory(prefix="msaas-memory-") as scratch:
        songs = {minutes: make_song(Path(scratch), minutes) for minutes in sorted(options.minutes)}
        rows = [_measured("msaas", minutes, song, options) for minutes, song in songs.items()]
        if not options.no_demucs:
            shortest = min(songs)
            rows.append(_measured("demucs", shortest, songs[shortest], options))
    return _tell(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 60], help="lengths of the songs")
    parser.add_argument("--model", default="htdemucs_mini")
    parser.add_argument("--repo", type=Path, default=ROOT / "models", help="folder of the model's folder")
    parser.add_argument("--format", default="mp3", help="of the stems")
    parser.add_argument("--lanes", type=int, default=0)
    parser.add_argument("--verdicts", type=Path, help="folder of remembered engines; none by default: each is checked")
    parser.add_argument("--no-demucs", action="store_true", help="leave Demucs' own out")
    parser.add_argument("--child", choices=tuple(_CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("--song", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_song(folder: Path, minutes: float) -> Path:
    """A song of exactly so many minutes: half a minute of noise and beats, over and over, in 16-bit FLAC."""
    import numpy as np
    import soundfile

    generator = np.random.default_rng(0)
    seconds = np.arange(30 * RATE) / RATE
    beat = np.sin(2 * np.pi * 60 * seconds) * np.exp(-8 * (seconds % 0.5))
    phrase = (0.4 * beat + 0.05 * generator.standard_normal((2, seconds.size))).T.astype(np.float32)
    path = folder / f"{minutes:g}.flac"
    left = round(minutes * 60 * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as song:
        while left > 0:
            song.write(phrase[:left])
            left -= len(phrase)
    return path


def _measured(child: str, minutes: float, song: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.separation.memory", "--child", child, "--song", str(song)]
    command += ["--model", options.model, "--repo", str(options.repo)]
    command += ["--format", options.format, "--lanes", str(options.lanes)]
    command += ["--verdicts", str(options.verdicts)] if options.verdicts else []
    environment = {**PROCESS_ENVIRONMENT, **os.environ} if child == "msaas" else dict(os.environ)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid)
        answer, _ = process.communicate()
        peak_mib = watch.end() / (1 << 20)
    if process.returncode:
        raise SystemExit(f"{child} ended with {process.returncode}")
    seconds = json.loads(answer.splitlines()[-1])
    row = {"who": child, "minutes": minutes, "peak_mib": peak_mib, "seconds": seconds}
    print(f"{row['who']:8s} {minutes:6g} min  peak {row['peak_mib']:7.0f} MiB  {row['seconds']:7.1f} s", flush=True)
    return row


def _msaas(options: argparse.Namespace) -> float:
    from msaas.options import Options
    from msaas.separation.device import choose_device
    from msaas.separation.engines.verdicts import RememberedChoice
    from msaas.separation.pipeline import Separator
    from msaas.separation.weights.loader import load_model

    model = load_model(options.model, repo=options.repo, sources=[], mapped=True)
    remembered = RememberedChoice(options.verdicts)
    device = choose_device("cpu").device
    separator = Separator(model, device, parallel=options.lanes, choose=remembered, release=True)
    with tempfile.TemporaryDirectory(dir=options.song.parent) as out:
        start = time.monotonic()
        separator.separate_song(options.song, Path(out), Options(model.name, format=options.format))
        return time.monotonic() - start


def _demucs(options: argparse.Namespace) -> float:
    from demucs.api import Separator
    from demucs.audio import save_audio

    separator = Separator(options.model, repo=options.repo / options.model, device="cpu", shifts=0)
    with tempfile.TemporaryDirectory(dir=options.song.parent) as out:
        start = time.monotonic()
        _, stems = separator.separate_audio_file(options.song)
        for stem, wav in stems.items():
            save_audio(wav, Path(out) / f"{stem}.{options.format}", samplerate=separator.samplerate)
        return time.monotonic() - start


_CHILDREN = {"msaas": _msaas, "demucs": _demucs}


def _tell(rows: list[dict[str, Any]]) -> int:
    ours = [row["peak_mib"] for row in rows if row["who"] == "msaas"]
    growth = max(ours) / min(ours) - 1
    print(f"largest over smallest of ours: {growth:+.1%} (at most {TOLERANCE:.0%})")
    for row in rows:
        if row["who"] == "demucs":
            print(f"Demucs' own over ours on {row['minutes']:g} min: {row['peak_mib'] / ours[0]:.2f} times")
    return 0 if growth <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
