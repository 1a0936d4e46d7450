"""How long a job still takes, guessed from what is known. Pure: no clock, no Redis."""

from __future__ import annotations

from collections.abc import Mapping

from msaas.jobs import Job, State

# Before this much is done, a run's own speed says less than the average of those before it.
TRUSTED_PROGRESS = 0.05


def eta_seconds(
    job: Job, *, position: int | None = None, in_work: int = 0, pace: Mapping[str, float], now: float
) -> float | None:
    """Seconds until the stems are there: 0 when done, None where there is nothing to go by.

    `position` counts the songs ahead, `in_work` the songs being separated, `pace` is Queue.pace(), `now` is seconds
    since 1970.
    """
    if job.state is State.DONE:
        return 0.0
    if job.state is State.RUNNING:
        return _of_running(job, pace, now)
    if job.state is State.QUEUED:
        return _of_queued(job, position, in_work, pace)
    return None


def _of_running(job: Job, pace: Mapping[str, float], now: float) -> float | None:
    elapsed = max(0.0, now - job.started_at) if job.started_at is not None else 0.0
    if job.progress >= TRUSTED_PROGRESS and elapsed > 0:
        return elapsed * (1 - min(job.progress, 1)) / job.progress
    expected = _run_seconds(job, pace)
    return None if expected is None else max(0.0, expected - elapsed)


def _of_queued(job: Job, position: int | None, in_work: int, pace: Mapping[str, float]) -> float | None:
    """Those ahead, those in work (half done each, on average), then its own run; as many at once as are now."""
    own, per_job = _run_seconds(job, pace), pace.get("seconds_per_job")
    if own is None or per_job is None:
        return None
    ahead = ((position or 0) + in_work / 2) * per_job
    return ahead / max(in_work, 1) + own


def _run_seconds(job: Job, pace: Mapping[str, float]) -> float | None:
    duration, per_second = job.upload.get("duration_seconds"), pace.get("seconds_per_audio_second")
    if duration and per_second:
        return float(duration) * per_second
    return pace.get("seconds_per_job")
