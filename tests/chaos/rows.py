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
    "1": rows_crash.killed_workers,
    "1m": rows_model.killed_workers_with_the_small_model,
    "2": rows_crash.kill_at_every_step,
    "3": rows_crash.killed_reaper,
    "4": rows_crash.worker_stalled_past_its_lease,
    "5": rows_redis.killed_valkey,
    "6": rows_api.redis_that_hangs_and_resets,
    "7": rows_storage.failing_object_store,
    "8": rows_jobs.poison_songs,
    "9": rows_jobs.worker_stopped_during_a_job,
    "10": rows_jobs.long_jobs_on_a_busy_machine,
    "11": rows_redis.time_to_recovery,
    "12": rows_api.one_song_posted_at_once,
    "13": rows_api.api_killed_before_queueing,
    "14": rows_jobs.cancel_at_every_moment,
    "15": rows_storage.full_disk_and_full_store,
    "16": machine.any_sequence_of_calls,
    "17": rows_damage.store_that_keeps_refusing,
    "18": rows_damage.no_room_on_the_scratch_disk,
    "19": rows_damage.records_damaged_by_hand,
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
