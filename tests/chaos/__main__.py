"""`python -m tests.chaos`: runs the rows on real servers, prints the table, exits non-zero if any row fails."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from msaas.local.processes.child import ProcessGuard
from msaas.local.servers import Keys, Weed, start
from tests.chaos.lab.lab import ROOT, RowResult
from tests.chaos.rows.catalogue import ROWS, run_row
from tests.chaos.scale import Scale
from tests.chaos.table import line, table

RESULTS = ROOT / "bench" / "results" / "chaos"


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="numbers, by commas; all by default")
    parser.add_argument("--scale", choices=("short", "full"), default="full")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where histories are kept")
    return parser.parse_args(argv)


def run(options: argparse.Namespace, guard: ProcessGuard) -> list[RowResult]:
    with tempfile.TemporaryDirectory(prefix="msaas-chaos-") as place:
        weed, child = start(lambda: Weed(Path(place) / "s3", Keys.new()), guard)
        try:
            return [_run(number, options, weed, guard) for number in options.rows.split(",")]
        finally:
            child.stop(weed.grace_seconds)
            weed.clean_up()


def _run(number: str, options: argparse.Namespace, weed: Weed, guard: ProcessGuard) -> RowResult:
    scale = Scale(full=options.scale == "full")
    result = run_row(number, scale, options.seed, folder=options.out, weed=weed, guard=guard)
    print(line(result), file=sys.stderr, flush=True)  # noqa: T201
    whole = options.out / f"row-{number}" / "result.json"
    whole.with_suffix(".new").write_text(json.dumps(asdict(result), indent=1))
    whole.with_suffix(".new").replace(whole)  # whoever waits for it sees it complete
    return result


def main() -> int:
    options = parse(sys.argv[1:])
    logging.disable(logging.CRITICAL)  # of this process: those under test write their own
    options.out.mkdir(parents=True, exist_ok=True)
    guard = ProcessGuard()
    try:
        results = run(options, guard)
    finally:
        guard.close()
    print(table(results))  # noqa: T201
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
