"""`/metrics` for Prometheus, and the counting of requests. Works without Redis (msaas.telemetry.metrics)."""

from __future__ import annotations

from flask import Blueprint, Flask, Request, Response, current_app

from msaas.telemetry.metrics import CONTENT_TYPE, CountedQueue, Metrics
from msaas.web.openapi.document import Answer, documented
from msaas.web.services import Services

calls = Blueprint("metrics", __name__)

EXTENSION = "msaas-meters"


def install(app: Flask, parts: Services) -> None:
    """The queue's own meters where it counts its moves."""
    meters = parts.queue.meters if isinstance(parts.queue, CountedQueue) else Metrics()
    meters.watch_queue(parts.queue)
    app.extensions[EXTENSION] = meters
    app.register_blueprint(calls)


@calls.get("/metrics")
@documented("Metrics for Prometheus", "service", answers={200: Answer("Samples", {"text/plain": {"type": "string"}})})
def metrics() -> Response:
    return Response(meters_of(current_app).render(), content_type=CONTENT_TYPE)


def meters_of(app: Flask) -> Metrics:
    found = app.extensions[EXTENSION]
    assert isinstance(found, Metrics)  # noqa: S101 - tells mypy; install put it there
    return found


def count_request(request: Request, status: int, seconds: float) -> None:
    """By route, not by path: a label for every songhash would be a series for every song."""
    route = request.url_rule.rule if request.url_rule else "none"
    meters_of(current_app).requests.labels(_method(request), route, str(status)).observe(seconds)


def _method(request: Request) -> str:
    return request.method if request.method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
