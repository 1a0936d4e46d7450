"""What a callback says: the job as it ended, and the caller's own data. Pure; the same bytes at each attempt."""

from __future__ import annotations

import json
from typing import Any

from msaas.callbacks.outbox import Callback
from msaas.jobs import Job, State, iso


def payload(callback: Callback, *, public_url: str = "") -> bytes:
    """UTF-8 JSON. `public_url` makes the links absolute; without one they are paths below the API's own address."""
    job = callback.job
    body: dict[str, Any] = {
        "type": f"job.{job.state}",
        "timestamp": iso(job.finished_at),
        "songhash": job.songhash,
        "state": job.state,
        "stems": {stem: f"{public_url}/apiv1/track/{job.songhash}-{stem}" for stem in job.stem_extensions},
        "job": f"{public_url}/apiv1/jobs/{job.songhash}",
        "error": _error(job),
        "warnings": job.warnings,
        "model": job.model_ran,
        "options": job.options,
        "duration_seconds": job.duration_seconds,
        "attempts": job.attempts,
        "timings": job.timings,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "data": json.loads(callback.data),
    }
    # ASCII: a receiver that guesses the charset wrongly still reads it
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def _error(job: Job) -> dict[str, str] | None:
    if job.state is not State.FAILED or not job.error:
        return None
    return {name: str(job.error.get(name, "")) for name in ("code", "detail")}
