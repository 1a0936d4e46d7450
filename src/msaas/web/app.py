"""create_app builds the Flask app. It reads no environment, starts nothing and needs neither Redis nor S3."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from msaas.auth import access_control, security_headers
from msaas.auth.access_control import AccessControl
from msaas.web.batches import routes as batches
from msaas.web.http import problems
from msaas.web.mixes import routes as mixes
from msaas.web.openapi import reference
from msaas.web.routes import (
    events,
    health,
    jobs,
    links,
    listing,
    metrics,
    models,
    page,
    separate,
    tracks,
    uploads,
    waveforms,
)
from msaas.web.services import EXTENSION, Services
from msaas.web.shares import routes as shares

log = logging.getLogger(__name__)

CALLS = (
    separate.calls,
    uploads.calls,
    batches.calls,
    jobs.calls,
    links.calls,
    events.calls,
    tracks.calls,
    mixes.calls,
    shares.calls,
    waveforms.calls,
    listing.calls,
    models.calls,
    health.calls,
    metrics.calls,
    reference.calls,
    page.calls,
)


def create_app(
    services: Services, access: AccessControl, *, cors_origins: frozenset[str] = frozenset(), trusted_proxies: int = 0
) -> Flask:
    """`msaas.wiring.api.build_app` calls it with values from the settings."""
    app = Flask("msaas.web", static_folder=None)
    app.extensions[EXTENSION] = services
    app.url_map.strict_slashes = False
    for calls in CALLS:
        app.register_blueprint(calls)
    problems.register(app)
    app.before_request(_begin)
    app.after_request(_finish)  # runs last: it logs the final status
    access_control.install(app, access)
    security_headers.install(app, cors_origins)
    if trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=trusted_proxies, x_proto=0)  # type: ignore[method-assign]
    return app


def _begin() -> None:
    g.began = time.monotonic()


def _finish(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    level = logging.DEBUG if request.path in ("/healthz", "/readyz", "/metrics") else logging.INFO
    seconds = time.monotonic() - g.get("began", time.monotonic())
    log.log(
        level,
        "%s %r status=%d seconds=%.3f",
        access_control.shown_method(),
        access_control.shown_path(),
        response.status_code,
        seconds,
    )
    metrics.count_request(request, response.status_code, seconds)
    return response
