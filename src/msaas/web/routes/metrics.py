"""`/metrics` for Prometheus, and the counting of requests. Works without Redis (msaas.telemetry.metrics)."""

from __future__ import annotations

from flask import Blueprint, Request, Response

from msaas.telemetry.metrics import CONTENT_TYPE
from msaas.web.openapi.document import Answer, documented
from msaas.web.services import current_services

calls = Blueprint("metrics", __name__)


@calls.get("/metrics")
@documented("Metrics for Prometheus", "service", answers={200: Answer("Samples", {"text/plain": {"type": "string"}})})
def metrics() -> Response:
    return Response(current_services().metrics.render(), content_type=CONTENT_TYPE)


def count_request(request: Request, status: int, seconds: float) -> None:
    """By route, not by path: a label for every songhash would be a series for every song."""
    route = request.url_rule.rule if request.url_rule else "none"
    current_services().metrics.requests.labels(_method(request), route, str(status)).observe(seconds)


def _method(request: Request) -> str:
    return request.method if request.method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
