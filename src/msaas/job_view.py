"""A job as people outside see it: the fields that the API's answers and callbacks share. Pure."""

from __future__ import annotations

from typing import Any

from msaas.jobs import Job, iso


def job_link(songhash: str, base_url: str = "") -> str:
    return f"{base_url}/apiv1/jobs/{songhash}"


def stem_links(job: Job, base_url: str = "") -> dict[str, str]:
    return {stem: f"{base_url}/apiv1/track/{job.songhash}-{stem}" for stem in job.stem_extensions}


def public_fields(job: Job, base_url: str = "") -> dict[str, Any]:
    """`base_url` makes the links absolute; without one they are paths below the API's own address."""
    return {
        "songhash": job.songhash,
        "state": job.state.value,
        "stems": stem_links(job, base_url),
        "error": job.reason,
        "warnings": job.warnings,
        "model": job.model_ran,
        "options": job.known_options,
        "duration_seconds": job.duration_seconds,
        "attempts": job.attempts,
        "timings": job.timings,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
    }
