"""The page at `/` and its files. Serves the files of static/ and nothing else, under a strict content policy."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, request
from flask.blueprints import BlueprintSetupState

from msaas.web.http.static_files import WORKER, StaticFiles
from msaas.web.routes import health

calls = Blueprint("page", __name__)

STATIC = Path(__file__).parents[1] / "static"

# Nothing from elsewhere, nothing inline, no text that becomes markup: `style` is set by script, which 'self' covers.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # the module that changes tempo and pitch; no text becomes script by it
        "style-src 'self'",
        "img-src 'self'",
        "media-src blob:",  # a picked file, whose length the browser reads; silence behind the lock screen's controls
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types msaas-shell",  # the address of the service worker
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
}


@calls.get("/")
def page() -> Response:
    """The page for browsers; programs, which do not request HTML explicitly, get the index of calls."""
    response = _file("index.html") if "text/html" in request.accept_mimetypes.values() else health.index()
    response.vary.add("Accept")
    return response


@calls.get(f"/{WORKER}")
def service_worker() -> Response:
    """At the root, since it may answer only for what lies below its own address. Browsers ask for it anew each time."""
    return _file(WORKER)


@calls.get("/static/<path:name>")
def static_file(name: str) -> Response:
    return _file(name)


def _file(name: str) -> Response:
    response = static_files().answer(request, name)
    if response is None:
        abort(404)
    response.headers.update(HEADERS)
    return response


@cache
def static_files() -> StaticFiles:
    return StaticFiles.read(STATIC)


@calls.record
def _read_at_start(_: BlueprintSetupState) -> None:
    static_files()
