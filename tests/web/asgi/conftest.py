"""The API as it runs, with deadlines and limits that a test reaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.api import Live, player, start_api, wait_alive  # noqa: F401 - a fixture
from tests.support.clients.wire import WAIT_LIMIT_SECONDS
from tests.support.environment import service_environ


def problem_of(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower(), answer
    return json.loads(body)


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
