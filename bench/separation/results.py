"""Records of benchmark runs, and what changed from one to another.

python -m bench.separation.results                       the records in bench/results
python -m bench.separation.results OLD.json NEW.json     both side by side, with ratios
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "bench" / "results"
FORMAT = 1

Rows = dict[str, dict[str, Any]]  # by contender


def write(kind: str, rows: Rows, options: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Writes a record of a run. kind: what was measured. rows: of numbers and text, ready for JSON."""
    now = datetime.now(UTC)
    content = {
        "format": FORMAT,
        "kind": kind,
        "at": now.isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": machine_facts(),
        "options": options,
        "rows": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%S}-{kind}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def machine_facts() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return {
        "cpu": next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU"),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "demucs": metadata.version("demucs"),
        "python": platform.python_version(),
    }


def read(path: Path) -> dict[str, Any]:
    """Raises SystemExit for a file that is not a record."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} is not a record: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SystemExit(f"{path} is not a record of format {FORMAT}")
    return content


def compare(old: dict[str, Any], new: dict[str, Any]) -> str:
    """A table of the numbers that both have; what differs between the runs stands above it."""
    lines = [f"{name}: {old[name]} ▸ {new[name]}" for name in ("at", "commit", "kind")]
    for group in ("machine", "options"):
        lines += [
            f"{name} differs: {old[group].get(name)} ▸ {new[group].get(name)}"
            for name in sorted(old[group].keys() | new[group].keys())
            if old[group].get(name) != new[group].get(name)
        ]
    lines += ["", "| | | old | new | new / old |", "|---|---|---|---|---|"]
    for contender in (name for name in old["rows"] if name in new["rows"]):
        before, after = old["rows"][contender], new["rows"][contender]
        for name in (name for name in before if _is_number(before[name]) and _is_number(after.get(name))):
            ratio = f"{after[name] / before[name]:.2f}" if before[name] else ""
            lines.append(f"| {contender} | {name} | {before[name]:.4g} | {after[name]:.4g} | {ratio} |")
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _git(*arguments: str) -> str:
    try:
        made = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # a copy of the tree on a machine without git
        return ""
    return made.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("records", nargs="*", type=Path, metavar="RECORD")
    records: list[Path] = parser.parse_args().records
    if not records:
        print("\n".join(str(path.relative_to(ROOT)) for path in sorted(FOLDER.glob("*.json"))) or "no records")
    elif len(records) == 2:
        print(compare(*(read(path) for path in records)))
    else:
        parser.error("two records are compared")


if __name__ == "__main__":
    main()
