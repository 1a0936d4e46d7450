"""A client's socket, for requests that no HTTP library sends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.api import URL

WAIT_LIMIT_SECONDS = 60
POST = (f"POST {URL} HTTP/1.1", "Host: x", "Content-Type: audio/wav")


@dataclass
class Wire:
    """A client's socket."""

    socket: socket.socket

    def send(self, *lines: str, body: bytes = b"") -> None:
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def read_all(self) -> bytes:
        """Until the server closes. A reset is an end, too."""
        found = b""
        try:
            while data := self.socket.recv(65536):
                found += data
        except ConnectionResetError:
            pass
        return found

    def read_until(self, end: bytes) -> bytes:
        found = b""
        while end not in found:
            data = self.socket.recv(65536)
            assert data, found
            found += data
        return found


@contextmanager
def wire_to(url: str, *, window: int = 0, source: str = "127.0.0.1") -> Iterator[Wire]:
    with socket.socket() as made:
        if window:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        made.settimeout(WAIT_LIMIT_SECONDS)
        made.bind((source, 0))
        parts = urlsplit(url)
        made.connect((parts.hostname, parts.port))
        yield Wire(made)
