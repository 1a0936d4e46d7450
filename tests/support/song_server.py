"""A web server with one song, which breaks connections, changes the song, redirects and refuses on request."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

CHUNK = 16 * 1024


@dataclass
class SongServer:
    """`breaks`: the bytes after which each of the next answers ends early. `statuses`: of the next answers instead of
    the song. `answer` takes the whole request over. `held`: answers wait in front of their last byte until it is
    set."""

    data: bytes
    etag: str = '"one"'
    ranges: bool = True
    with_length: bool = True
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    answer: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None
    held: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)  # an answer is in front of its last byte
    asked: list[dict[str, str]] = field(default_factory=list)  # headers of each request, names in small letters
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/a%20song.wav?secret=1"

    def handle(self, request: Any) -> None:
        self.asked.append({name.lower(): value for name, value in request.headers.items()})
        if self.answer:
            self.answer(request)
        elif self.statuses:
            request.send_response(self.statuses.pop(0))
            request.end_headers()
        else:
            self.send(request)

    def send(self, request: Any) -> None:
        asked, start = self.asked[-1], 0
        if self.ranges and asked.get("if-range") == self.etag and "range" in asked:
            start = int(asked["range"].removeprefix("bytes=").removesuffix("-"))
        body = self.data[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        if self.etag:
            request.send_header("ETag", self.etag)
        if self.with_length:
            request.send_header("Content-Length", str(len(body)))
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        if self.breaks:
            request.wfile.write(body[: self.breaks.pop(0)])
            return
        request.wfile.write(body[:-1])
        request.wfile.flush()
        self.reached.set()
        if self.held:
            self.held.wait(60)
        request.wfile.write(body[-1:])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.song.handle(self)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignores clients that disconnect."""


@contextmanager
def serving_song(song: SongServer) -> Iterator[SongServer]:
    server = QuietServer(("127.0.0.1", 0), Handler)
    server.song = song  # type: ignore[attr-defined]
    song.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield song
    finally:
        if song.held:
            song.held.set()
        server.shutdown()
        server.server_close()
