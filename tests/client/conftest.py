"""A stand-in for the API where connections misbehave, and the real one, with its worker played, where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from msaas import cli
from msaas.client import Client
from tests.support.api import song_bytes
from tests.support.api_process import real_api, url, worker
from tests.support.models.standin import Api, serving

__all__ = ["real_api", "url", "worker"]


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


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"song {number}.wav" for number in (1, 2, 3)]
    for path, hertz in zip(paths, (220, 440, 880), strict=True):
        path.write_bytes(song_bytes(1.0, hertz))
    return paths


def separate(*arguments: object) -> int:
    return cli.main(["separate", *map(str, arguments)])
