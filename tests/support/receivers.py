"""Receivers of callbacks: real servers on loopback that behave badly on request, and count who comes."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from msaas.outbound.targets import TargetPolicy
from msaas.settings.networks import parse_networks

HOME = TargetPolicy(allow=parse_networks("127.0.0.0/8, ::1/128"))


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Receiver:
    """`behave` gets the connection once a whole request was read. `accepted` counts connections, heard or not."""

    behave: Callable[[socket.socket], None]
    context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    accepted: int = 0
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family, backlog=100)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        """No attempt outlives its test: its end would be noted in the keys of another one."""
        for one in (self._listener, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=60)

    @property
    def url(self):
        return f"http://{self.host}:{self.port}/hook"

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError), connection:
            connection.settimeout(60)
            if self.context:
                try:
                    connection = self.context.wrap_socket(connection, server_side=True)
                except ssl.SSLError as error:
                    self.errors.append(str(error))
                    return
            with connection:
                self.requests.append(read_request(connection))
                self.behave(connection)

    def wait_for(self, count, seconds=60):
        deadline = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < deadline, f"{len(self.requests)} requests after {seconds} s, not {count}"
            time.sleep(0.01)
        return self.requests


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or fail()
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rows = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536) or fail()
    return Request(line, headers, body, time.time())


def fail():
    raise OSError("the sender went away in mid-request")


def answers(status, *, headers="", body=b""):
    """A plain answer, the connection closed behind it."""
    text = f"HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()

    def behave(connection):
        connection.sendall(text + body)

    return behave


def answers_in_turn(*behaviours):
    """The last one goes on."""
    left = list(behaviours)

    def behave(connection):
        (left.pop(0) if len(left) > 1 else left[0])(connection)

    return behave


def hangs(connection):
    connection.recv(1)  # until the sender goes


def dies_after_receipt(connection):
    connection.close()


def trickles_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-more: x\r\n"[:1])
        time.sleep(0.05)


def trickles_status(connection):
    for byte in b"HTTP/1.1 200 OK" + b"k" * 10000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def trickles_body(status):
    def behave(connection):
        connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 1000000\r\n\r\n".encode())
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return behave


@dataclass
class Flood:
    """Sends as much as is taken, and notes how much that was."""

    status: int = 200
    sent: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, connection):
        connection.sendall(f"HTTP/1.1 {self.status} X\r\n\r\n".encode())
        try:
            while self.sent < 200_000_000:
                connection.sendall(b"x" * 65536)
                self.sent += 65536
        finally:
            self.ended.set()
