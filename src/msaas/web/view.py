"""The public view of a job: a dict made from its record and its surroundings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msaas.callbacks.admin import view as callback_view
from msaas.callbacks.outbox import Callback
from msaas.errors import InvalidOption
from msaas.jobs import LOW, PRIORITIES, Job, State, is_songhash, job_link, public_fields
from msaas.mixing.request import MixRequest
from msaas.queue.worker_registry import Workers


def job_links(songhash: str) -> dict[str, str]:
    job = job_link(songhash)
    return {"job": job, "events": f"{job}/events", "stems_zip": f"{job}/stems.zip"}


def why_waiting(workers: Workers, job: Job) -> dict[str, str] | None:
    """Code and detail if no live worker can run a queued job; None for any other job."""
    if job.state is not State.QUEUED or job.provisional:
        return None
    return workers.why_waiting(*(() if job.mix_of else job.models))


def job_view(
    job: Job,
    *,
    position: int | None = None,
    eta: float | None = None,
    waiting_for: Mapping[str, str] | None = None,
    callbacks: Iterable[Callback] = (),
    name: str = "",
) -> dict[str, Any]:
    """The documented fields; `callbacks`, `removed` and `message` are present only if there are any. `name`: what the
    caller's link calls the song."""
    view = (
        public_fields(job, name=name)
        | _of_fetch(job)
        | _of_mix(job)
        | {
            "stage": job.stage,
            "progress": job.progress,
            "queue_position": position if job.state is State.QUEUED else None,
            "eta_seconds": None if eta is None else round(eta, 1),
            "waiting_for": waiting_for,
            "priority": LOW if job.priority == LOW else PRIORITIES[0],
        }
    )
    posted = [callback_view(one) for one in callbacks]
    more = {"callbacks": posted, "removed": job.removed_stems, "message": _message(job, waiting_for)}
    return view | {name: value for name, value in more.items() if value}


def _of_fetch(job: Job) -> dict[str, Any]:
    """Only for a job whose song is not fetched yet, or could not be."""
    return {"provisional": True, "fetched_from": job.fetch_from} if job.provisional else {}


def _of_mix(job: Job) -> dict[str, Any]:
    """Only for a mix whose record is not damaged."""
    try:
        asked = MixRequest.from_fields(job.mix or {}) if job.mix_of else None
    except InvalidOption:
        asked = None
    if asked is None or not is_songhash(job.mix_of):
        return {}
    found = job.result.get("mix")
    found = found if isinstance(found, Mapping) else {}
    measured = {name: _decibels(found.get(name)) for name in ("gain_db", "true_peak_dbtp")}
    return {"mix": {"of": job.mix_of, **asked.to_fields(), **measured}}


def _decibels(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _message(job: Job, waiting_for: Mapping[str, str] | None) -> str:
    notes = (
        _retry_note(job),
        _waiting_note(waiting_for or {}),
        _attempts_note(job),
        _removed_note(job),
        str(job.result.get("message") or ""),
    )
    return " ".join(text for text in notes if text)


def _retry_note(job: Job) -> str:
    if job.state is not State.RUNNING or not job.retry_reason:
        return ""
    who = "the service" if job.listed_in else "the worker"
    return f"{_capital(job.retry_reason)}; {who} retries."


def _waiting_note(waiting_for: Mapping[str, str]) -> str:
    """Since when it waits; only the detail has the time."""
    if waiting_for.get("code") not in ("storage_refused", "scratch_full", "out_of_memory"):
        return ""
    return f"{_capital(waiting_for['detail'])}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _removed_note(job: Job) -> str:
    removed, again = job.removed_stems, f"post the {'mix' if job.mix_of else 'song'} again to recreate"
    if not removed:
        return ""
    if len(removed) < len(job.stem_extensions):
        return f"Removed: {', '.join(removed)}; {again} the stems."
    return f"The mix was removed; {again} it." if job.mix_of else f"The stems were removed; {again} them."


def _attempts_note(job: Job) -> str:
    """A job that is retried has no `error`; its last error is in the message."""
    if job.state.ended or not job.last_error:
        return ""
    return f"The last attempt failed ({job.last_error['detail']}); the job is retried."
