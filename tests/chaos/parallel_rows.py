"""Runs the short form of the chosen rows in two processes beside the tests: most of a row is waiting for a lease."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.lab.lab import ROOT

# By how long they take. Rows that measure time (9, 10, 11) come one after the other, not at the same time.
ROWS_OF_PROCESSES = (
    ("2", "4", "7", "6", "8", "1", "3", "13", "20"),
    ("15", "5", "11", "9", "10", "14", "16", "12", "21"),
)
LIMIT_SECONDS = 280


class ParallelRows:
    """Started at once; each row's result is waited for when its test asks."""

    def __init__(self, folder: Path, rows: Iterable[str]) -> None:
        self.folder, wanted = folder, set(rows)
        folder.mkdir()
        chosen = [[row for row in rows if row in wanted] for rows in ROWS_OF_PROCESSES]
        self._processes = {tuple(rows): self._start(rows) for rows in chosen if rows}

    def _start(self, rows: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.chaos", "--scale", "short", "--out", str(self.folder)]
        log = (self.folder / f"rows-{rows[0]}.log").open("w")
        return subprocess.Popen([*command, "--rows", ",".join(rows)], cwd=ROOT, stdout=log, stderr=log, text=True)

    def result(self, row: str) -> dict[str, Any]:
        rows, process = next((rows, process) for rows, process in self._processes.items() if row in rows)
        end = time.monotonic() + LIMIT_SECONDS
        while process.poll() is None and time.monotonic() < end and not self._written(row):
            time.sleep(0.1)
        if not self._written(row):
            log = (self.folder / f"rows-{rows[0]}.log").read_text()
            raise AssertionError(f"row {row} has no result: {log[-3000:]}")
        return dict(json.loads(self._path(row).read_text()))

    def _path(self, row: str) -> Path:
        return self.folder / f"row-{row}" / "result.json"

    def _written(self, row: str) -> bool:
        return self._path(row).exists()

    def close(self) -> None:
        for process in self._processes.values():
            process.terminate()  # its guard ends what it started
            process.wait()
