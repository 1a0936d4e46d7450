"""The rows by their numbers, and how one is run."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from msaas.local.processes.child import ProcessGuard
from msaas.local.servers import Weed

from . import machine, rows_api, rows_crash, rows_damage, rows_jobs, rows_model, rows_redis, rows_storage
from .lab import Failed, Lab, RowResult, open_lab
from .scale import Scale

Row = Callable[[Lab, Scale], RowResult]

ROWS: dict[str, Row] = {
    "1": rows_crash.row_1,
    "1m": rows_model.row_1m,
    "2": rows_crash.row_2,
    "3": rows_crash.row_3,
    "4": rows_crash.row_4,
    "5": rows_redis.row_5,
    "6": rows_api.row_6,
    "7": rows_storage.row_7,
    "8": rows_jobs.row_8,
    "9": rows_jobs.row_9,
    "10": rows_jobs.row_10,
    "11": rows_redis.row_11,
    "12": rows_api.row_12,
    "13": rows_api.row_13,
    "14": rows_jobs.row_14,
    "15": rows_storage.row_15,
    "16": machine.row_16,
    "17": rows_damage.row_17,
    "18": rows_damage.row_18,
    "19": rows_damage.row_19,
}


def run_row(number: str, scale: Scale, seed: int, *, folder: Path, weed: Weed, guard: ProcessGuard) -> RowResult:
    """Runs one row in a lab of its own; what stops it half-way is its failure, not the suite's."""
    began = time.monotonic()
    place = folder / f"row-{number}"
    shutil.rmtree(place, ignore_errors=True)
    with open_lab(place, weed, guard, seed) as lab:
        result = _run(lab, number, scale)
    result.seconds = time.monotonic() - began
    return result


def _run(lab: Lab, number: str, scale: Scale) -> RowResult:
    try:
        return ROWS[number](lab, scale)
    except Exception as error:
        lab.history.note("broken off", error=traceback.format_exc())
        result = lab.result or lab.row(number, "")
        result.wrong.append(str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}")
        return result
