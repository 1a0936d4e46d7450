"""An API that answers from lists, and drops connections, refuses and sends half of things where it is told to."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HASH = "00000000-0000-5000-8000-000000000001"
QUEUED = {"songhash": HASH, "state": "queued", "stage": "", "progress": 0.0, "queue_position": 2, "stems": {}}
RUNNING = {"songhash": HASH, "state": "running", "stage": "separating", "progress": 0.4, "stems": {}}
FAILED = RUNNING | {"state": "failed", "error": {"code": "not_audio", "detail": "it holds no sound"}}
DONE = {
    "songhash": HASH,
    "state": "done",
    "progress": 1.0,
    "model": "htdemucs_mini",
    "options": {"format": "mp3"},
    "duration_seconds": 12.5,
    "stems": {"vocals": f"/apiv1/track/{HASH}-vocals", "drums": f"/apiv1/track/{HASH}-drums"},
    "created_at": "2026-01-02T03:04:05.678Z",
}
PROBLEM = {"title": "Not audio", "detail": "nothing in it decodes to sound", "code": "not_audio", "status": 422}
BUSY = {"title": "Service Unavailable", "detail": "its hands are full", "code": "busy", "status": 503}


@dataclass(frozen=True)
class Answer:
    """`body`: bytes, or what becomes JSON. `sent`: bytes of it before the connection drops; None for all of it."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


DROP = "drop"  # before a byte of an answer


@dataclass
class Stem:
    """Ranges and all. `breaks`: after how many bytes each of the first connections drops."""

    data: bytes
    etag: str = '"one"'
    breaks: list[int] = field(default_factory=list)

    def answer(self, headers: dict[str, str]) -> Answer:
        own = {"ETag": self.etag} if self.etag else {}
        sent = self.breaks.pop(0) if self.breaks else None
        asked = headers.get("range", "")
        if not asked or headers.get("if-range") != self.etag:
            return Answer(200, self.data, own, sent)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        whole = len(self.data)
        return Answer(206, self.data[start:], own | {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"}, sent)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in small letters
    body: bytes


class Api(http.server.ThreadingHTTPServer):
    """`answers`: path ▸ what it answers, one after the other; the last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Asked] = []
        self.answers: dict[str, list[Answer | Stem | str]] = {
            "/apiv1/separate": [Answer(202, {"songhash": HASH, "state": "queued"})],
            f"/apiv1/jobs/{HASH}": [Answer(200, RUNNING), Answer(200, DONE)],
            f"/apiv1/track/{HASH}-vocals": [Stem(b"vocals!!")],
            f"/apiv1/track/{HASH}-drums": [Stem(b"drums!!!")],
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put_first(self, path: str, *answers: Answer | Stem | str) -> None:
        self.answers[path][:0] = answers

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        parts = urlsplit(self.path)
        self.server.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
        answers = self.server.answers[parts.path]
        chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        if chosen == DROP:
            self.connection.close()
            return
        assert not isinstance(chosen, str)
        self._send(chosen.answer(headers) if isinstance(chosen, Stem) else chosen)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.data)))
        self.end_headers()
        self.wfile.write(answer.data[: answer.sent])
        self.close_connection = True

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def finish(self) -> None:
        if self.connection.fileno() >= 0:
            super().finish()


@contextmanager
def serving() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
