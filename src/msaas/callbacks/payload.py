"""The body of a callback: the job as it ended, and the caller's own data. Pure; the same bytes at each attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msaas.callbacks.outbox import Callback
from msaas.errors import RecordBroken
from msaas.fields import json_value
from msaas.jobs import Job, is_songhash, iso, job_link, public_fields

DAMAGED = "the callback's record in Redis was damaged or overwritten"


def payload(callback: Callback, *, public_url: str = "") -> bytes:
    """UTF-8 JSON. `public_url` makes the links absolute; without it they are paths relative to the API's address.

    Raises RecordBroken if the callback's record lacks the job's end state or valid data.
    """
    job = callback.job
    try:
        data = json_value(callback.data)
        json.dumps(data)
    except (ValueError, RecursionError) as error:
        raise RecordBroken(f"{DAMAGED} (its data)") from error
    if "state" not in callback.snapshot or "state" in job.broken or not job.state.ended:
        raise RecordBroken(f"{DAMAGED} (the job as it ended)")
    body = _of_batch(job, public_url) or {
        "type": f"job.{job.state}",
        "timestamp": iso(job.finished_at),
        **public_fields(job, public_url),
        "mix": {"of": job.mix_of} if is_songhash(job.mix_of) else None,
        "job": job_link(job.songhash, public_url),
    }
    # ASCII: still readable if a receiver assumes another charset
    return json.dumps(body | {"data": data}, separators=(",", ":")).encode("ascii")


def _of_batch(job: Job, public_url: str) -> dict[str, Any] | None:
    """None if it is not a batch."""
    ended = job.result.get("batch")
    if not isinstance(ended, Mapping):
        return None
    return {
        "type": f"batch.{job.state}",
        "timestamp": iso(job.finished_at),
        "batch": job.songhash,
        "state": job.state.value,
        "total": ended.get("total"),
        "counts": ended.get("counts"),
        "created_at": iso(job.created_at),
        "finished_at": iso(job.finished_at),
        "link": f"{public_url}/apiv1/batches/{job.songhash}",
    }
