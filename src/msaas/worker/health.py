"""The worker's own health checks over HTTP: `/healthz` alive, `/readyz` weights loaded. Answers nothing else."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

log = logging.getLogger(__name__)

Report = Callable[[], tuple[bool, dict[str, Any]]]


def serve_health(port: int, *, alive: Report, ready: Report, host: str = "") -> ThreadingHTTPServer:
    """Serves both reports from a thread until `.shutdown()`. Raises OSError where the port is taken."""
    reports = {"/healthz": alive, "/readyz": ready}

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "msaas", ""

        def do_GET(self) -> None:
            report = reports.get(self.path.partition("?")[0])
            if report is None:
                self._answer(404, {"detail": "here are /healthz and /readyz"})
                return
            good, body = report()
            self._answer(200 if good else 503, body)

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes come every few seconds: not worth a line each."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
