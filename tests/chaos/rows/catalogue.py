"""The rows by their numbers, and how one is run."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from msaas.local.processes.child import ProcessGuard
from msaas.local.servers import Weed
from tests.chaos.lab.lab import Failed, Lab, RowResult, open_lab
from tests.chaos.rows import api, crash, damage, in_flight, jobs, model, redis, state_machine, storage
from tests.chaos.scale import Scale

Row = Callable[[Lab, Scale], RowResult]

ROWS: dict[str, Row] = {
    "1": crash.killed_workers,
    "1m": model.killed_workers_with_the_small_model,
    "2": crash.kill_at_every_step,
    "3": crash.killed_reaper,
    "4": crash.worker_stalled_past_its_lease,
    "5": redis.killed_valkey,
    "6": api.redis_that_hangs_and_resets,
    "7": storage.failing_object_store,
    "8": jobs.poison_songs,
    "9": jobs.worker_stopped_during_a_job,
    "10": jobs.long_jobs_on_a_busy_machine,
    "11": redis.time_to_recovery,
    "12": api.one_song_posted_at_once,
    "13": api.api_killed_before_queueing,
    "14": jobs.cancel_at_every_moment,
    "15": storage.full_disk_and_full_store,
    "16": state_machine.any_sequence_of_calls,
    "17": damage.store_that_keeps_refusing,
    "18": damage.no_room_on_the_scratch_disk,
    "19": damage.records_damaged_by_hand,
    "20": in_flight.killed_beside_another,
    "21": in_flight.poison_beside_another,
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
