"""The worker's health endpoints: `/healthz` (alive), `/readyz` (weights loaded), `/metrics`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msaas.telemetry.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)

Report = Callable[[], tuple[bool, dict[str, Any]]]


def serve_health(
    port: int, *, alive: Report, ready: Report, metrics: Callable[[], bytes] | None = None, host: str = ""
) -> ThreadingHTTPServer:
    """Serves all three in a thread until `.shutdown()`. Raises OSError if the port is taken."""
    reports = {"/healthz": alive, "/readyz": ready}

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "msaas", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics" and metrics is not None:
                self._answer(200, metrics(), CONTENT_TYPE)
                return
            report = reports.get(path)
            if report is None:
                self._answer(404, _json({"detail": "available: /healthz, /readyz and /metrics"}))
                return
            good, body = report()
            self._answer(200 if good else 503, _json(body))

        def _answer(self, status: int, data: bytes, content_type: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Not logged: probes come every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
