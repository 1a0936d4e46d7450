"""Estimates the remaining time of a job. Pure: no clock, no Redis."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from msaas.jobs import Job, State
from msaas.queue.pace import of_models, weight_of
from msaas.queue.position import NOTHING_AHEAD, QueueAhead

# Below this progress, the average of earlier runs is a better estimate than the run's own speed.
TRUSTED_PROGRESS = 0.05


def eta_seconds(
    job: Job, *, line: QueueAhead = NOTHING_AHEAD, workers: int = 0, pace: Mapping[str, float], now: float
) -> float | None:
    """Seconds until the stems are ready: 0 when done, None without a basis for an estimate.

    `line` is what is in work and ahead of a queued job, `workers` how many may run it, `pace` is Queue.pace(), `now`
    is seconds since 1970.
    """
    if job.state is State.DONE:
        return 0.0
    if job.state is State.RUNNING:
        return _of_running(job, pace, now)
    if job.state is State.QUEUED:
        return _of_queued(job, line, workers, pace, now)
    return None


def _of_running(job: Job, pace: Mapping[str, float], now: float) -> float | None:
    elapsed = max(0.0, now - job.started_at) if job.started_at is not None else 0.0
    done = _time_done(job, pace)
    if done >= TRUSTED_PROGRESS and elapsed > 0:
        return elapsed * (1 - done) / done
    expected = _run_seconds(job, pace)
    return None if expected is None else max(0.0, expected - elapsed)


def _time_done(job: Job, pace: Mapping[str, float]) -> float:
    """The fraction of the run's time that has passed. In `progress` each pass over the song counts the same, although a
    model that refines may be many times slower than the first, or faster."""
    progress = min(max(job.progress, 0.0), 1.0)
    weights = [pace.get(f"seconds_per_audio_second:{model}", 0.0) for model in job.passes]
    if len(weights) < 2 or not all(weights):
        return progress
    finished = min(int(progress * len(weights)), len(weights) - 1)
    in_pass = progress * len(weights) - finished
    return (sum(weights[:finished]) + in_pass * weights[finished]) / sum(weights)


def _of_queued(job: Job, line: QueueAhead, workers: int, pace: Mapping[str, float], now: float) -> float | None:
    """Its own run, once a worker is free: songs ahead go, in order, to the first free worker."""
    own, wait = _run_seconds(job, pace), seconds_until_free(line, workers=workers, pace=pace, now=now)
    return None if own is None or wait is None else wait + own


def seconds_until_free(line: QueueAhead, *, workers: int, pace: Mapping[str, float], now: float) -> float | None:
    """Seconds until a worker is free for a song behind these; None before the first job is done."""
    per_job = pace.get("seconds_per_job")
    if per_job is None:
        return None
    free_in = _free_in(line, workers, per_job, pace, now)
    for one in line.ahead:
        seconds = _run_seconds(one, pace)
        heapq.heapreplace(free_in, free_in[0] + (per_job if seconds is None else seconds))
    return free_in[0] + line.more_ahead * per_job / len(free_in)


def _free_in(line: QueueAhead, workers: int, per_job: float, pace: Mapping[str, float], now: float) -> list[float]:
    """Seconds until each worker finishes its run, as a heap; at least one. Unexamined ones count as half done."""
    left = [_of_running(one, pace, now) for one in line.in_work]
    busy = [per_job if seconds is None else seconds for seconds in left] + [per_job / 2] * line.more_in_work
    idle: Sequence[float] = [0.0] * max(workers - len(busy), 0 if busy else 1)
    free_in = [*busy, *idle]
    heapq.heapify(free_in)
    return free_in


def _run_seconds(job: Job, pace: Mapping[str, float]) -> float | None:
    duration = job.declared_seconds
    per_second = of_models(pace, "seconds_per_audio_second", job.models)
    if duration and per_second:
        return weight_of(duration) * job.work * per_second
    return of_models(pace, "seconds_per_job", job.models)
