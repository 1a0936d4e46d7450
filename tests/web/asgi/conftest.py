"""The API as it runs, with deadlines and limits that a test reaches; clients that say what they like."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.api import URL, Live, player, start_api, wait_alive  # noqa: F401 - a fixture
from tests.support.environment import service_environ

WAIT_LIMIT_SECONDS = 60
POST = (f"POST {URL} HTTP/1.1", "Host: x", "Content-Type: audio/wav")


def problem_of(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower(), answer
    return json.loads(body)


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


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def dropped(url: str, reason: str) -> float:
    """How many connections the server has closed for this reason."""
    name = f'msaas_connections_dropped_total{{reason="{reason}"}} '
    text = requests.get(f"{url}/metrics", timeout=WAIT_LIMIT_SECONDS).text
    return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


def _serve(environ: dict[str, str], folder: Path) -> Iterator[Live]:
    process = start_api(environ, folder / "log")
    url = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
    try:
        wait_alive(url, process, folder / "log")
        yield Live(url, process.pid, folder / "log", Path(environ["MSAAS_SCRATCH_DIR"]))
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0, (folder / "log").read_text()


# Not for the session: an API sends callbacks and deletes old jobs, also those of later tests.
@pytest.fixture(scope="package")
def patient(valkey, s3, tmp_path_factory) -> Iterator[Live]:
    """Deadlines that no test reaches, and few threads."""
    folder = tmp_path_factory.mktemp("patient")
    more = {"MSAAS_THREADS": "4", "MSAAS_HEADER_SECONDS": "300", "MSAAS_SLOW_CLIENT_SECONDS": "300"}
    yield from _serve(service_environ(valkey, s3, folder) | more, folder)


@pytest.fixture(scope="package")
def strict(valkey, s3, tmp_path_factory) -> Iterator[Live]:
    """Deadlines that pass at once, and small limits."""
    folder = tmp_path_factory.mktemp("strict")
    more = {
        "MSAAS_HEADER_SECONDS": "0.5",
        "MSAAS_SLOW_CLIENT_SECONDS": "0.5",
        "MSAAS_SLOW_CLIENT_BYTES_PER_SECOND": "100000",
    }
    yield from _serve(service_environ(valkey, s3, folder) | more, folder)


@pytest.fixture(scope="package")
def narrow(valkey, s3, tmp_path_factory) -> Iterator[Live]:
    """Few connections, and fewer requests of a caller."""
    folder = tmp_path_factory.mktemp("narrow")
    more = {
        "MSAAS_MAX_CONNECTIONS": "16",
        "MSAAS_MAX_REQUESTS_PER_CALLER": "2",
        "MSAAS_HEADER_SECONDS": "300",
        "MSAAS_SLOW_CLIENT_SECONDS": "300",
    }
    yield from _serve(service_environ(valkey, s3, folder) | more, folder)
