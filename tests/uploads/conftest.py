"""The API on the real queue and storage, and a client of the tus protocol that a test controls request by request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from msaas.storage import UPLOADS, Storage
from msaas.uploads import UploadLimits, Uploads
from tests.support.api import client, done, make_app, player, scratch, song

__all__ = ["client", "done", "make_app", "player", "scratch", "song"]

PATH = "/apiv1/uploads"
BYTES = "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


@dataclass
class Tus:
    """Makes single requests."""

    client: FlaskClient
    headers: dict[str, str]

    def create(self, size: int, data: bytes = b"", **headers: Any) -> TestResponse:
        more = {"Content-Type": BYTES} if data else {}
        return self.client.post(PATH, data=data, headers=self._with({"Upload-Length": str(size), **more}, headers))

    def url(self, size: int, **headers: Any) -> str:
        created = self.create(size, **headers)
        assert created.status_code == 201, created.text
        return str(created.headers["Location"])

    def append(self, url: str, offset: int, data: bytes, **headers: Any) -> TestResponse:
        own = {"Upload-Offset": str(offset), "Content-Type": BYTES}
        return self.client.patch(url, data=data, headers=self._with(own, headers))

    def head(self, url: str, **headers: Any) -> TestResponse:
        return self.client.head(url, headers=self._with({}, headers))

    def offset(self, url: str) -> int:
        return int(self.head(url).headers["Upload-Offset"])

    def remove(self, url: str) -> TestResponse:
        return self.client.delete(url, headers=self._with({}, {}))

    def submit(self, url: str, **options: Any) -> TestResponse:
        body = {"upload": url.rpartition("/")[2], **options}
        return self.client.post("/apiv1/separate", json=body, headers=self.headers)

    def _with(self, own: dict[str, str], given: dict[str, Any]) -> dict[str, str]:
        named = {name.replace("_", "-"): str(value) for name, value in given.items()}
        return {name: value for name, value in (TUS | self.headers | own | named).items() if value != "None"}


@pytest.fixture
def tus(client: FlaskClient) -> Tus:
    return Tus(client, {})


@pytest.fixture
def stored(storage: Storage) -> Callable[[], list[str]]:
    """The names of all stored chunks."""
    return lambda: [item.name for item in storage.names(UPLOADS)]


@pytest.fixture
def uploads(redis: Any, storage: Storage) -> Uploads:
    return Uploads(redis, storage, UploadLimits(200_000_000, 10, 10**9, 3600))
