"""Time and peak memory of rendering a mix of four MP3 stems, for a short and a long song. Refuses (exit 1) growth of
the memory over 10 %.

    python -m bench.mixing.memory [--minutes 3 60] [--format mp3]

Each mix is rendered in a process of its own; measured is the largest resident memory of it and its decoding processes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.separation.memory import RATE, TOLERANCE
from bench.support.watching import Watch

STEMS = 4


def main() -> int:
    options = _options()
    if options.child:
        print(json.dumps(_render(options.child, options.minutes[0], options.format)))
        return 0
    peaks = []
    with tempfile.TemporaryDirectory(prefix="msaas-mixes-") as scratch:
        for minutes in sorted(options.minutes):
            folder = Path(scratch) / f"{minutes:g}"
            _make_stems(folder, minutes)
            peaks.append(_measured(folder, minutes, options.format))
            shutil.rmtree(folder)
    growth = max(peaks) / min(peaks) - 1
    print(f"largest over smallest: {growth:+.1%} (at most {TOLERANCE:.0%})")
    return 0 if growth <= TOLERANCE else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 60], help="lengths of the songs")
    parser.add_argument("--format", default="mp3", help="of the mix")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _make_stems(folder: Path, minutes: float) -> None:
    """Half a minute of a beat and noise, over and over; each stem is a copy."""
    import numpy as np

    from msaas.audio.encode.open_writer import open_writer

    seconds = np.arange(30 * RATE) / RATE
    beat = np.sin(2 * np.pi * 60 * seconds) * np.exp(-8 * (seconds % 0.5))
    phrase = (0.4 * beat + 0.05 * np.random.default_rng(0).standard_normal((2, seconds.size))).astype(np.float32)
    folder.mkdir()
    left = round(minutes * 60 * RATE)
    with open_writer(folder / "0.mp3", "mp3", sample_rate=RATE, channels=2, total_samples=left) as writer:
        while left > 0:
            writer.write(phrase[:, :left])
            left -= phrase.shape[1]
    for number in range(1, STEMS):
        shutil.copy(folder / "0.mp3", folder / f"{number}.mp3")


def _measured(folder: Path, minutes: float, format_: str) -> float:
    command = [sys.executable, "-m", "bench.mixing.memory", "--child", str(folder)]
    command += ["--minutes", f"{minutes:g}", "--format", format_]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid)
        answer, _ = process.communicate()
        peak_mib = watch.end() / (1 << 20)
    if process.returncode:
        raise SystemExit(f"the mix ended with {process.returncode}")
    print(f"{minutes:6g} min  {format_}  peak {peak_mib:6.0f} MiB  {json.loads(answer):6.1f} s", flush=True)
    return peak_mib


def _render(folder: Path, minutes: float, format_: str) -> float:
    from msaas.audio.encode.converted import Sound
    from msaas.audio.limits import Limits
    from msaas.audio.mixing.render import Encoding, Mix, PlacedStem, render
    from msaas.audio.part import Part
    from msaas.audio.tags import StemTags
    from msaas.formats import format_named

    began = time.monotonic()
    stems = [
        PlacedStem(path, 0.8, pan) for path, pan in zip(sorted(folder.glob("*.mp3")), (-0.5, 0.0, 0.2, 1), strict=True)
    ]
    mix = Mix(stems, Sound(RATE, 2, round(minutes * 60 * RATE)), Part(), Limits())
    how = Encoding(format_named(format_), mix.sound, None, None, StemTags({}))
    render(mix, folder / f"mix.{format_}", how)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
