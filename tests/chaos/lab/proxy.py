"""A TCP proxy that misbehaves on order: hangs, resets, slows down, cuts a message in half, refuses uploads.

It knows nothing of Redis or S3 but where a reply begins; each fault is something a network or a server does.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CHUNK_BYTES = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST rather than FIN

# A fault sees each piece and its direction ("up": to the server), and returns what goes on; None resets both ends.
Fault = Callable[[bytes, str], bytes | None]


def pass_on(piece: bytes, _way: str) -> bytes | None:
    return piece


def reset(_piece: bytes, _way: str) -> bytes | None:
    return None


def half_reply(piece: bytes, way: str) -> bytes | None:
    """The first half of a reply arrives, and then the connection is gone."""
    return piece if way == "up" else Cut(piece[: len(piece) // 2])


def cut_put(after_bytes: int) -> Fault:
    """An upload breaks off after so many bytes of a connection's piece; everything else passes."""

    def fault(piece: bytes, way: str) -> bytes | None:
        return Cut(piece[:after_bytes]) if way == "up" and len(piece) > after_bytes else piece

    return fault


def cut_get(after_bytes: int) -> Fault:
    """A download breaks off."""

    def fault(piece: bytes, way: str) -> bytes | None:
        return Cut(piece[:after_bytes]) if way == "down" and len(piece) > after_bytes else piece

    return fault


def slow(bytes_per_second: int) -> Fault:
    def fault(piece: bytes, _way: str) -> bytes | None:
        time.sleep(len(piece) / bytes_per_second)
        return piece

    return fault


class Cut(bytes):
    """The last piece of its connection."""


class Proxy:
    """Listens on loopback; `.address` is what clients are told. Counts how often a fault struck."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.fault: Fault = pass_on
        self.refusal: bytes | None = None  # a canned answer to every upload of a stem
        self.struck = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def doing(self, fault: Fault) -> Iterator[None]:
        self.fault = fault
        try:
            yield
        finally:
            self.fault = pass_on

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Connections are accepted, and nothing passes in either direction."""
        self._flowing.clear()
        self.struck += 1
        try:
            yield
        finally:
            self._flowing.set()

    @contextmanager
    def refusing(self, answer: bytes) -> Iterator[None]:
        self.refusal = answer
        try:
            yield
        finally:
            self.refusal = None

    def reset_all(self) -> None:
        """Every open connection is reset; new ones pass."""
        with self._lock:
            victims = list(self._open)
        for end in victims:
            _abort(end)
        self.struck += 1

    def close(self) -> None:
        self._listener.close()
        self.reset_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            _abort(client)
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
        threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True).start()
        self._pump(server, client, "down")
        with self._lock:
            self._open -= {client, server}

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(CHUNK_BYTES):
                self._flowing.wait()
                if way == "up" and self.refusal is not None and piece.startswith(b"PUT /output-tracks/"):
                    self._refuse(source)
                    break
                passed = self.fault(piece, way)
                if passed is not piece:
                    self.struck += 1
                if passed:
                    sink.sendall(passed)
                if passed is None or isinstance(passed, Cut):
                    break
        _abort(source)
        _abort(sink)

    def _refuse(self, client: socket.socket) -> None:
        """Answers, then reads what still comes: a reset would take the answer with it."""
        self.struck += 1
        client.sendall(self.refusal or b"")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(1)
        with contextlib.suppress(OSError):
            while client.recv(CHUNK_BYTES):
                pass


def _abort(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()


def s3_refusal(status: str, code: str) -> bytes:
    """An S3 error as servers send it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no room left</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
