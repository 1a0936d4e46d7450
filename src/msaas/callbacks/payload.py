"""What a callback says: the job as it ended, and the caller's own data. Pure; the same bytes at each attempt."""

from __future__ import annotations

import json

from msaas.callbacks.outbox import Callback
from msaas.errors import RecordBroken
from msaas.fields import json_value
from msaas.jobs import iso, job_link, public_fields

DAMAGED = "the callback's record in Redis was damaged or overwritten"


def payload(callback: Callback, *, public_url: str = "") -> bytes:
    """UTF-8 JSON. `public_url` makes the links absolute; without one they are paths below the API's own address.

    Raises RecordBroken where the callback's record does not say how the job ended, or what its data are.
    """
    job = callback.job
    try:
        data = json_value(callback.data)
        json.dumps(data)
    except (ValueError, RecursionError) as error:
        raise RecordBroken(f"{DAMAGED} (its data)") from error
    if "state" not in callback.snapshot or "state" in job.broken or not job.state.ended:
        raise RecordBroken(f"{DAMAGED} (the job as it ended)")
    body = {
        "type": f"job.{job.state}",
        "timestamp": iso(job.finished_at),
        **public_fields(job, public_url),
        "job": job_link(job.songhash, public_url),
        "data": data,
    }
    # ASCII: a receiver that guesses the charset wrongly still reads it
    return json.dumps(body, separators=(",", ":")).encode("ascii")
