"""A stand-in for the API where connections misbehave, and the real one, with its worker played, where they do not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from msaas.client import Client
from msaas.local.servers import Valkey, Weed
from msaas.queue import Queue
from msaas.storage import Storage
from tests.support.api import Player, song_bytes, start_api, wait_alive
from tests.support.environment import service_environ
from tests.support.models.standin import Api, serving


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


@pytest.fixture
def pauses() -> list[float]:
    """What the client would have slept, in seconds."""
    return []


@pytest.fixture
def client(api: Api, pauses: list[float]) -> Iterator[Client]:
    with Client(api.url, sleep=pauses.append) as client:
        yield client


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "a song.mp3"
    path.write_bytes(song_bytes())
    return path


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
    """Plays it: separates whatever comes into stems of 300 kB."""
    stopped = threading.Event()

    def work() -> None:
        player = Player(queue, storage, tmp_path)
        player.content = lambda stem: stem.encode() * 60_000  # type: ignore[method-assign]
        while not stopped.wait(0.05):
            if claim := queue.claim("player"):
                queue.renew(claim, {"stage": "separating", "progress": "0.5"})
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


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"song {number}.wav" for number in (1, 2, 3)]
    for path, hertz in zip(paths, (220, 440, 880), strict=True):
        path.write_bytes(song_bytes(1.0, hertz))
    return paths
