"""The API on real queues and storage, with fetchers and the end of batches taken by a test itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient

from msaas.batches import Batches
from msaas.fetching.fetcher import Fetcher
from msaas.queue import BATCH_KEYS, FETCH_KEYS, Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics
from msaas.wiring import background
from tests.support.api import client, done, fake_probe, make_app, player, scratch, song

__all__ = ["client", "done", "make_app", "player", "scratch", "song"]

BATCHES = "/apiv1/batches"


@pytest.fixture
def fetches(redis: Any) -> Queue:
    return Queue(redis, lease_seconds=2, max_attempts=3, keys=FETCH_KEYS)


@pytest.fixture
def batches(redis: Any, queue: Queue, fetches: Queue) -> Batches:
    return Batches(Queue(redis, keys=BATCH_KEYS), fetches, queue)


@pytest.fixture
def fetcher(
    settings: Settings, queue: Queue, fetches: Queue, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> Fetcher:
    monkeypatch.setattr(background, "build_probe", lambda _settings: fake_probe)
    assert background.build_fetches(settings, queue.redis, Metrics())
    return background.build_fetchers(settings, queue, fetches, storage)[0]


@dataclass
class Sender:
    client: FlaskClient
    headers: dict[str, str]

    def upload(self, song: bytes, **headers: str) -> str:
        own = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(song))} | self.headers | headers
        kind = "application/offset+octet-stream"
        answer = self.client.post("/apiv1/uploads", data=song, headers=own, content_type=kind)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"].rpartition("/")[2])

    def post(self, *songs: dict[str, Any], headers: dict[str, str] | None = None, **more: Any) -> Any:
        return self.client.post(BATCHES, json={"songs": list(songs), **more}, headers=self.headers | (headers or {}))

    def batch(self, *songs: dict[str, Any], **more: Any) -> str:
        answer = self.post(*songs, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.json["batch"])

    def get(self, batch: str) -> dict[str, Any]:
        return dict(self.client.get(f"{BATCHES}/{batch}", headers=self.headers).json)


@pytest.fixture
def sender(client: FlaskClient) -> Sender:
    return Sender(client, {})


@pytest.fixture
def fetch_all(fetcher: Fetcher, fetches: Queue) -> Callable[[], None]:
    def run() -> None:
        while fetches.waiting():
            fetcher.turn()

    return run
