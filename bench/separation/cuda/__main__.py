"""What MSaaS and Demucs do on this CUDA card: the model alone, where its time goes, and whole jobs.

    python -m bench.separation.cuda [--seconds 240] [--limit 220] [--device cuda]

Takes less than four minutes: measurements that have not begun after --limit seconds are left out, and named. The
network is exactly htdemucs', with seeded weights. Needs nothing but a checkout and its packages. A record is written to
bench/results.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from bench.separation import results
from bench.separation.cuda import parts
from bench.separation.cuda.parts import Row, Setup
from bench.separation.memory import make_song
from bench.separation.speed import seeded_htdemucs

PARTS: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "whole jobs of MSaaS": parts.our_jobs,
    "whole job of Demucs": parts.demucs_job,
    "model alone": parts.alone,
    "operations": parts.operations,
}


def main() -> int:
    options = _options()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no CUDA card here, so nothing was measured.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        song = make_song(Path(folder), options.seconds / 60)
        setup = Setup(seeded_htdemucs(), torch.device(options.device), song, _samples(song), options.seconds)
        rows = list(measured(setup, options.limit))
    print("\n".join(["", machine(options.device), "", *tables(rows)]))
    record = results.write("cuda", {str(at): row for at, row in enumerate(rows)}, vars(options))
    print(f"\nrecord: {record}")
    return 0


def measured(setup: Setup, limit_seconds: float, wanted: Iterable[str] = tuple(PARTS)) -> Iterator[Row]:
    """The rows of all parts; a part that fails, or that comes too late, is a row with the reason."""
    began = time.monotonic()
    for name in wanted:
        try:
            for row in PARTS[name](setup):
                print(json.dumps(row), flush=True)
                yield row
                if time.monotonic() - began > limit_seconds:
                    raise TimeoutError(f"left out after {limit_seconds:g} s: what follows")
        except Exception as error:
            yield {"what": name, "failed": f"{type(error).__name__}: {error}"[:300]}
        setup.free()


def tables(rows: list[Row]) -> list[str]:
    """Lines of Markdown."""
    jobs = [row for row in rows if row["what"] == "whole job" and "seconds" in row]
    models = [row for row in rows if row["what"] == "model alone" and "ms" in row]
    operations = [row for row in rows if row["what"] == "operations" and "percent" in row]
    lines = ["| whole job | format | batch | in flight | s a song | × real time |", "|---|---|---|---|---|---|"]
    for row in jobs:
        about = " | ".join(str(row.get(name, "")) for name in ("format", "batch", "in_flight", "seconds", "realtime"))
        lines.append(f"| {row['who']} | {about} |")
    lines += ["", "| model alone | batch | ms a segment | × real time | dB |", "|---|---|---|---|---|"]
    lines += [f"| {row['who']} | {row['batch']} | {row['ms']} | {row['realtime']} | {row['db']} |" for row in models]
    lines += ["", "| operation | % |", "|---|---|"]
    lines += [f"| `{row['name']}` | {row['percent']} |" for row in operations]
    return lines + [f"{row['what']}: {row['failed']}" for row in rows if "failed" in row]


def machine(device: str) -> str:
    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    return f"{card}, torch {torch.__version__}, CUDA {torch.version.cuda}, {os.cpu_count()} CPU cores"


def _samples(song: Path) -> torch.Tensor:
    import soundfile

    samples, _ = soundfile.read(song, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0, help="of the song")
    parser.add_argument("--limit", type=float, default=220.0, help="seconds, after which no measurement begins")
    parser.add_argument("--device", default="cuda", help="cpu: to try the script without a card; slow")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
