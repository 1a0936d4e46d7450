"""A stand-in for the API or the worker: answers /readyz, has a child of its own, notes when it came and went."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROLE, NOTES = sys.argv[1], Path(sys.argv[2])
if os.environ.get("STANDIN_ENDS") == ROLE:
    sys.exit("it has no reason to go on")
PORT = int(os.environ["MSAAS_PORT" if ROLE == "rest" else "MSAAS_WORKER_HTTP_PORT"])


def note(what: str) -> None:
    with NOTES.open("a") as file:
        file.write(f"{time.monotonic():.3f} {ROLE} {what}\n")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
grandchild = subprocess.Popen(["sleep", "600"])  # noqa: S607
note(f"started pid={os.getpid()} child={grandchild.pid} redis={os.environ['REDIS_HOST']} port={PORT}")


def leave(_number: int, _frame: object) -> None:
    note("stopping")
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, leave)
server.serve_forever()
time.sleep(0.3)
note("stopped")  # and the grandchild is left to whoever cleans up
