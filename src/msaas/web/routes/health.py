"""Liveness and readiness of the API."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify

from msaas.errors import QueueUnavailable, Unavailable
from msaas.web.http.problems import problem
from msaas.web.models import offered_models
from msaas.web.openapi.document import Answer, as_json, documented
from msaas.web.services import Services, current_services

log = logging.getLogger(__name__)
calls = Blueprint("health", __name__)

RETRY_AFTER_SECONDS = 5
# Every documented call: tests/web/openapi/test_openapi.py compares it with the routes. Programs may use the names.
INDEX = {
    "separate": "POST /apiv1/separate",
    "uploads": "POST /apiv1/uploads",
    "upload": "HEAD /apiv1/uploads/<upload_id>",
    "append": "PATCH /apiv1/uploads/<upload_id>",
    "remove_upload": "DELETE /apiv1/uploads/<upload_id>",
    "batches": "POST /apiv1/batches",
    "batch": "GET /apiv1/batches/<songhash>",
    "cancel_batch": "DELETE /apiv1/batches/<songhash>",
    "jobs": "GET /apiv1/jobs",
    "job": "GET /apiv1/jobs/<songhash>",
    "cancel": "DELETE /apiv1/jobs/<songhash>",
    "events": "GET /apiv1/jobs/<songhash>/events",
    "stems": "GET /apiv1/jobs/<songhash>/stems.zip",
    "links": "GET /apiv1/jobs/<songhash>/links",
    "waveforms": "GET /apiv1/jobs/<songhash>/waveforms",
    "mix": "POST /apiv1/jobs/<songhash>/mix",
    "share": "POST /apiv1/jobs/<songhash>/shares",
    "shares": "GET /apiv1/jobs/<songhash>/shares",
    "revoke": "DELETE /apiv1/jobs/<songhash>/shares/<share>",
    "shared": "GET /apiv1/share",
    "track": "GET /apiv1/track/<songhash>-<stem>",
    "remove": "DELETE /apiv1/remove/<songhash>-<stem>",
    "queue": "GET /apiv1/queue",
    "bucket": "GET /apiv1/bucket",
    "contents": "DELETE /apiv1/contents",
    "models": "GET /apiv1/models",
    "index": "GET /apiv1",
    "openapi": "GET /apiv1/openapi.json",
    "docs": "GET /apiv1/docs",
    "alive": "GET /healthz",
    "ready": "GET /readyz",
    "metrics": "GET /metrics",
}


@calls.get("/apiv1")
@documented("Index of calls", "service", answers={200: Answer("The calls", as_json("Index"))})
def index() -> Response:
    return jsonify(name="MSaaS, Music Separation as a Service", calls=INDEX)


@calls.get("/healthz")
@documented("Is the API alive?", "service", answers={200: Answer("Yes", as_json("Status"))})
def alive() -> Response:
    """Checks nothing else: restarting the API would not repair Redis."""
    return jsonify(status="ok")


@calls.get("/readyz")
@documented(
    "Can the API reach Redis and the object store?",
    "service",
    description="`workers` and `models` count the ready workers. The API is ready without workers: songs are queued.",
    answers={200: Answer("Yes", as_json("Readiness"))},
    problems={503: ["not_ready"]},
)
def ready() -> Response:
    services = current_services()
    found = {"redis": _check(services.queue.ping), "s3": _check(services.store_check)}
    away = [f"{name}: {answer}" for name, answer in found.items() if answer != "ok"]
    if not away:
        return jsonify(status="ok", **found, **_workers(services))
    response = problem(503, "not_ready", "; ".join(away), **found)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _workers(services: Services) -> dict[str, Any]:
    """The number of ready workers, and of those that offer each allowed model."""
    try:
        workers, models = services.queue.workers(), offered_models(services)
    except QueueUnavailable:  # it failed after the check; the next probe reports it
        return {"workers": 0, "models": {}}
    return {
        "workers": workers.ready,
        "models": {name: workers.offering(name) for name in models},
    }


def _check(ping: Callable[[], object]) -> str:
    """`ok` or the error without hosts and ports, which only the log has: this call needs no key."""
    try:
        ping()
    except Unavailable as error:
        log.warning("not ready code=%s reason=%s", error.code, error)
        return error.detail
    return "ok"
