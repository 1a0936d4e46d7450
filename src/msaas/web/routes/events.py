"""Server-sent events of one job: its current state, then each change until it ends. Polls Redis."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from msaas.auth.access_control import caller
from msaas.errors import QueueUnavailable
from msaas.jobs import Job
from msaas.web.http.disposition import requested_name
from msaas.web.openapi.document import Answer, documented, header
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE
from msaas.web.routes.jobs import current_view, find_job, known_job
from msaas.web.routes.tracks import NAME_PARAMETER
from msaas.web.services import Services, current_services

calls = Blueprint("events", __name__)

POLL_SECONDS = 0.5
# A closed connection is noticed only by writing to it.
KEEP_ALIVE_SECONDS = 10
RETRY_MS = 2000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would buffer events
PACED = "msaas.paced"  # environ key of a server that pauses streams itself
# fields that change with time alone cause no event
_ESTIMATES = frozenset({"eta_seconds"})


@calls.get("/apiv1/jobs/<songhash>/events")
@documented(
    "Follow a song",
    "jobs",
    description="Server-sent events. The data of `event: job` is the job: first its current state, then each change, "
    "until it ends. `event: gone` means that its record was deleted. Reconnecting to a broken stream misses nothing. "
    "At the limit of streams, the caller with the most streams loses one to a caller with fewer.",
    parameters=[NAME_PARAMETER, header("Last-Event-ID", "ID of the last event received; browsers send it")],
    answers={
        200: Answer("The events", {"text/event-stream": {"description": "server-sent events (HTML Standard)"}}),
        204: Answer("The last event received was the final one: do not reconnect"),
    },
    problems={404: ["job_unknown"], 503: [*QUEUE_UNAVAILABLE, "busy"]},
)
def get_events(songhash: str) -> Response:
    services = current_services()
    job = known_job(services, songhash)
    if job.state.ended and request.headers.get("Last-Event-ID", "").startswith(f"{job.state}-"):
        return Response(status=204)  # browsers reconnect forever unless they get a 204
    place = services.events_gate.enter(caller().account)
    events = _polled_events(services, job, revoked=place.revoked, name=requested_name(), public=bool(caller().share))
    response = EventStream(events, services.stopping)
    response.call_on_close(lambda: services.events_gate.leave(place))  # called even if the generator never starts
    return response


class EventStream(Response):
    """`pause_seconds` is the length of each pause for a server that waits without a thread; under any other WSGI
    server the generator sleeps."""

    pause_seconds = POLL_SECONDS

    def __init__(self, events: Iterator[str], stopping: threading.Event) -> None:
        super().__init__(mimetype="text/event-stream", headers=HEADERS)
        self.response = events if PACED in request.environ else _with_pauses(events, POLL_SECONDS, stopping)


def job_events(
    services: Services,
    job: Job | None,
    *,
    poll_seconds: float = POLL_SECONDS,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    revoked: threading.Event | None = None,
) -> Iterator[str]:
    """The stream's text, with sleeps between polls."""
    events = _polled_events(services, job, keep_alive_seconds=keep_alive_seconds, revoked=revoked)
    return _with_pauses(events, poll_seconds, services.stopping)


def _with_pauses(events: Iterator[str], pause_seconds: float, stopping: threading.Event) -> Iterator[str]:
    for text in events:
        if text:
            yield text
        else:
            stopping.wait(pause_seconds)


def _polled_events(
    services: Services,
    job: Job | None,
    *,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    revoked: threading.Event | None = None,
    name: str = "",
    public: bool = False,
) -> Iterator[str]:
    """Texts to send, and an empty text after each poll, where the server pauses.

    Ends after a final state, if the record is deleted, if the server stops, and if `revoked` is set because another
    caller needs the slot.
    """
    yield f"retry: {RETRY_MS}\n\n"
    songhash = job.songhash if job else ""
    sent: dict[str, Any] = {}
    count, last_sent_at = 0, time.monotonic()
    while job is not None:
        view = _view(services, job, name, public)
        text = ""
        if view and _without_estimates(view) != sent:
            sent, count = _without_estimates(view), count + 1
            text = _event(view, f"{view['state']}-{count}")
        elif time.monotonic() - last_sent_at >= keep_alive_seconds:
            text = ": keep-alive\n\n"
        if text:
            last_sent_at = time.monotonic()
            yield text
        if view and job.state.ended:
            return
        yield ""
        if services.stopping.is_set() or (revoked and revoked.is_set()):
            return
        job = _again(services, songhash, job)
    yield "event: gone\ndata: {}\n\n"


def _again(services: Services, songhash: str, job: Job) -> Job | None:
    """The current record, or the last one while Redis is unavailable, so that a restart of Redis ends no stream."""
    try:
        return find_job(services, songhash)
    except QueueUnavailable:
        return job


def _view(services: Services, job: Job, name: str, public: bool) -> dict[str, Any] | None:
    try:
        return current_view(services, job, name, public=public)
    except QueueUnavailable:
        return None


def _without_estimates(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name not in _ESTIMATES}


def _event(view: dict[str, Any], id_: str) -> str:
    return f"event: job\nid: {id_}\ndata: {json.dumps(view)}\n\n"
