"""A receiver of callbacks that fails now and then. Checks each signature."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msaas.callbacks.signing import signed_headers
from msaas.local.servers import LOOPBACK
from msaas.settings.callback_secrets import Secret

FAILING = 0.15  # of the first attempts: the second comes after five seconds


class Received:
    """What arrived: by the data it was posted with, how often it was refused here and how often taken."""

    def __init__(self, secret: Secret, seed: int) -> None:
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.forged = 0
        self._secret, self._chance, self._lock = secret, random.Random(seed), threading.Lock()  # noqa: S311

    def answer(self, headers: Any, body: bytes) -> int:
        """The status to answer with; 0 for none at all."""
        id_, name = headers.get("webhook-id", ""), str(json.loads(body)["data"])
        signed = signed_headers([self._secret], id_, int(headers.get("webhook-timestamp", 0)), body)
        with self._lock:
            if signed["webhook-signature"] != headers.get("webhook-signature"):
                self.forged += 1
                return 403
            if not self.refused[name] and not self.taken[name] and self._chance.random() < FAILING:
                self.refused[name] += 1
                return self._chance.choice((500, 503, 0))
            self.taken[name] += 1
            return 204


@contextmanager
def receiver(received: Received) -> Iterator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = received.answer(self.headers, body)
            if status:
                self.send_response(status)
                self.end_headers()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()
