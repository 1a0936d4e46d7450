"""The API as a process of its own, with its worker played: fixtures for the folders of its callers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from msaas.local.servers import Valkey, Weed
from msaas.queue import Queue
from msaas.storage import Storage
from tests.support.api import Player, start_api, wait_alive
from tests.support.environment import service_environ


@pytest.fixture(scope="module")
def real_api(valkey: Valkey, s3: Weed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("api")
    environ = service_environ(valkey, s3, folder) | {"MSAAS_FETCH_ALLOW": "127.0.0.0/8"}
    url = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
    process = start_api(environ, folder / "log")
    try:
        wait_alive(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def url(real_api: str, queue: Queue, storage: Storage) -> str:
    """The real API, as a process of its own, with an empty queue and empty buckets."""
    return real_api


@pytest.fixture
def worker(queue: Queue, storage: Storage, tmp_path: Path) -> Iterator[None]:
    with playing_worker(queue, storage, tmp_path):
        yield


@contextmanager
def playing_worker(queue: Queue, storage: Storage, folder: Path, *, half_way_seconds: float = 0) -> Iterator[None]:
    """Separates whatever comes into stems of 300 kB, after a stay at half of the progress."""
    stopped = threading.Event()

    def work() -> None:
        player = Player(queue, storage, folder)
        player.content = lambda stem: stem.encode() * 60_000  # type: ignore[method-assign]
        while not stopped.wait(0.05):
            if claim := queue.claim("player"):
                queue.renew(claim, {"stage": "separating", "progress": "0.5"})
                stopped.wait(half_way_seconds)
                player.finish(claim, extension_of(queue, claim.songhash))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join(timeout=60)


def extension_of(queue: Queue, songhash: str) -> str:
    job = queue.get(songhash)
    assert job is not None
    return str((job.options or {}).get("format", "mp3"))
