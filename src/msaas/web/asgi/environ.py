"""Converts an ASGI scope to a WSGI environ (PEP 3333). No I/O."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.middleware.proxy_fix import ProxyFix

from msaas.web.routes.events import PACED

Environ = dict[str, Any]
OVERRIDABLE, OVERRIDES = "/apiv1/uploads/", ("PATCH", "DELETE")  # X-HTTP-Method-Override


def environ_of(scope: Any, trusted_proxies: int) -> Environ:
    """Without the body: `wsgi.input` is empty. REMOTE_ADDR is the caller's address, also behind trusted proxies."""
    host, port = scope["server"] or ("", None)
    client_host, client_port = scope["client"] or ("", 0)
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client_host,
        "REMOTE_PORT": str(client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        PACED: True,
    }
    _add_headers(environ, scope["headers"])
    _override_method(environ)
    if trusted_proxies:
        _trust_proxies(environ, trusted_proxies)
    return environ


def _add_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name_bytes, value_bytes in headers:
        name, value = name_bytes.decode("latin-1").upper(), value_bytes.decode("latin-1")
        if "_" in name:  # X_FORWARDED_FOR would pass for X-Forwarded-For, which a proxy has verified
            continue
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value


def _override_method(environ: Environ) -> None:
    """tus, for clients that can only send GET and POST."""
    method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "")
    overrides = environ["REQUEST_METHOD"] == "POST" and method in OVERRIDES
    if overrides and environ["PATH_INFO"].startswith(OVERRIDABLE):
        environ["REQUEST_METHOD"] = method


def _trust_proxies(environ: Environ, count: int) -> None:
    fixed = ProxyFix(lambda *_: [], x_for=count, x_proto=0)
    fixed(environ, lambda *_, **__: lambda _: None)


def declared_bytes(environ: Environ) -> int | None:
    """The body's declared length: 0 without a body, None if it is chunked."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    return int(environ.get("CONTENT_LENGTH") or 0)
