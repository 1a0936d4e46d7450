"""Time and peak memory against a song's length, ours and Demucs' own, taking turns on one machine; whole jobs to MP3.

    python -m bench.separation.lengths [--minutes 1 3 10 …] [--small] [--plot FILE.svg]

The network is exactly htdemucs' with seeded weights, or htdemucs_mini.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from bench.separation.memory import make_song
from bench.separation.speed import MODEL, ROOT, STOCK, machine, run, save, seeded_htdemucs

OURS = "MSaaS auto"
SMALL = "htdemucs_mini"
COLOURS = {STOCK: "#868e96", OURS: "#d6336c"}
WIDTH, HEIGHT, MARGIN = 560, 320, 56

Rows = dict[float, dict[str, dict[str, Any]]]  # minutes ▸ contender ▸ what it said


def main() -> None:
    options = _options()
    rows: Rows = {}
    with tempfile.TemporaryDirectory(prefix="msaas-lengths-") as scratch:
        folder = Path(scratch)
        job = {"segment": "", "stems": str(folder / "none")}
        if options.small:
            job |= {"repo": str(ROOT / "models" / SMALL), "model": SMALL}
        else:
            job |= {"repo": str(save(seeded_htdemucs(), folder)), "model": MODEL}
        print(f"{machine()}; {job['model']}\n")
        print(f"| minutes | {STOCK}, s | MiB | {OURS}, s | MiB | ratio |\n|---|---|---|---|---|---|")
        for minutes in sorted(options.minutes):
            song = make_song(folder, minutes)
            found = rows[minutes] = {name: run(name, job | {"song": str(song)}, folder) for name in COLOURS}
            song.unlink()
            print(_line(minutes, found[STOCK], found[OURS]), flush=True)
    if options.plot:
        options.plot.write_text(plot(rows), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 3, 10], help="lengths of the songs")
    parser.add_argument("--small", action="store_true", help=f"{SMALL} instead of the full model")
    parser.add_argument("--plot", type=Path, help="an SVG to write")
    return parser.parse_args()


def _line(minutes: float, stock: dict[str, Any], ours: dict[str, Any]) -> str:
    cells = [f"{row['job_seconds']:.0f} | {row['peak_mib']}" for row in (stock, ours)]
    return f"| {minutes:g} | {' | '.join(cells)} | {stock['job_seconds'] / ours['job_seconds']:.2f} |"


def plot(rows: Rows) -> str:
    """Minutes that a job took over minutes of song."""
    took = {name: [(minutes, row[name]["job_seconds"] / 60) for minutes, row in rows.items()] for name in COLOURS}
    across, up = max(rows), max(y for points in took.values() for _, y in points)
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        return MARGIN + x / across * wide, HEIGHT - MARGIN - y / up * high

    parts = [f'<path d="M{MARGIN} {MARGIN}v{high}h{wide}" fill="none" stroke="#868e96"/>']
    parts += [_text(place(x, 0), f"{x:g}", "middle", 16) for x in rows if x / across > 0.02]
    parts += [_text(place(0, up * part), f"{up * part:.3g}", "end", 4, -8) for part in (0.25, 0.5, 0.75, 1)]
    parts.append(_text((MARGIN + wide / 2, HEIGHT - MARGIN), "minutes of song", "middle", 38))
    parts.append(_text((MARGIN, MARGIN), "minutes to separate it", "start", -12, 8))
    for name, points in took.items():
        placed = [place(*point) for point in [(0.0, 0.0), *points]]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in placed[1:]]
        parts.append(_text(placed[-1], name, "end", -6, -10, COLOURS[name]))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    return "\n".join([f'{head} font-size="12">', *parts, "</svg>\n"])


def _text(
    at: tuple[float, float], text: str, anchor: str, down: float, right: float = 0, colour: str = "#868e96"
) -> str:
    x, y = at[0] + right, at[1] + down
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


if __name__ == "__main__":
    main()
