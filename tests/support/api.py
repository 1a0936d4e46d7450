"""The API on the real queue and storage: in this process for most tests, as it runs where the wire matters."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import struct
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from msaas.audio.decode.probe import Probe
from msaas.local.servers import Valkey, Weed, free_port
from msaas.queue import Claim, Queue
from msaas.settings import Settings
from msaas.storage import INPUTS, Storage
from msaas.wiring.api import build_app

URL = "/apiv1/separate"
STEMS = ("vocals", "drums", "bass", "other")
RAW = {"content_type": "audio/mpeg"}
NOBODY = "00000000-0000-0000-0000-000000000000"


def song_bytes(seconds: float = 0.2, hertz: float = 440) -> bytes:
    """A mono WAV: small, real, and another song for every pitch."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = (int(9000 * math.sin(math.tau * hertz * n / 8000)) for n in range(int(8000 * seconds)))
        writer.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def fake_probe(path: Path) -> Probe:
    """The real one starts a process; what it refuses has tests of its own."""
    assert path.stat().st_size
    return Probe(container="wav", codec="pcm_s16le", sample_rate=8000, channels=1, duration_seconds=0.2)


def problem(response, status, code):
    """Asserts the problem's form and gives its detail."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    body = json.loads(response.data)
    assert body["code"] == code, body
    assert (body["status"], body["type"]) == (status, "about:blank")
    assert body["title"] and "Traceback" not in body["detail"]
    return body["detail"]


def nothing_is_left(queue, storage, scratch):
    return queue.counts().waiting == 0 and not list(storage.names(INPUTS)) and not list(scratch.glob("msaas-*"))


def post(client, hertz=440):
    return client.post(URL, data=song_bytes(hertz=hertz), **RAW).json["songhash"]


@pytest.fixture
def song() -> bytes:
    return song_bytes()


@pytest.fixture
def scratch(settings: Settings) -> Path:
    return settings.scratch_dir


@pytest.fixture
def make_app(queue: Queue, storage: Storage, settings: Settings) -> Callable[..., Flask]:
    """An app with some settings changed."""

    def make(*, probe: Callable[[Path], Any] | None = fake_probe, **changed: Any) -> Flask:
        return build_app(replace(settings, **changed), queue=queue, storage=storage, probe=probe)

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app().test_client()


@dataclass
class Player:
    """Plays the worker: claims a song and puts its stems, each a text of its own."""

    queue: Queue
    storage: Storage
    folder: Path

    def work(self, *, extension: str = "mp3") -> str:
        claim = self.queue.claim("player")
        assert claim, "nothing waits"
        assert self.finish(claim, extension)
        return claim.songhash

    def finish(self, claim: Claim, extension: str = "mp3") -> bool:
        for stem in STEMS:
            self.put(f"{claim.songhash}-{stem}.{extension}", self.content(stem))
        result = {"stems": dict.fromkeys(STEMS, extension), "duration_seconds": 0.2, "gain": 1.0}
        return self.queue.finish(claim, result, 0.2)

    def put(self, name: str, content: bytes) -> None:
        path = self.folder / "stem"
        path.write_bytes(content)
        self.storage.put_stem(name, path)

    @staticmethod
    def content(stem: str) -> bytes:
        return f"the {stem} ".encode() * 1000


@pytest.fixture
def player(queue: Queue, storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Player:
    return Player(queue, storage, tmp_path_factory.mktemp("player"))


@pytest.fixture
def done(client: FlaskClient, player: Player, song: bytes) -> str:
    """The songhash of a song that is separated."""
    posted = client.post(URL, data=song, content_type="audio/wav")
    assert posted.status_code == 202, posted.text
    assert player.work() == posted.json["songhash"]
    return str(posted.json["songhash"])


# --- as it runs


@dataclass
class Live:
    url: str
    pid: int
    log: Path
    scratch: Path

    def peak_bytes(self) -> int:
        """Largest resident set of the API's process, so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def start_api(environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "msaas.web"], env=os.environ | environ, stdout=out, stderr=subprocess.STDOUT
        )


def wait_alive(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{url}/healthz", timeout=60)
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    pytest.fail(f"the API does not answer:\n{log.read_text()}")


@pytest.fixture(scope="module")
def live_environ(valkey: Valkey, s3: Weed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "REDIS_HOST": valkey.address,
        "MINIO_HOST": s3.address,
        "MINIO_ACCESS_KEY": s3.keys.access,
        "MINIO_SECRET_KEY": s3.keys.secret,
        "MSAAS_PORT": str(free_port()),
        "MSAAS_THREADS": "8",
        "MSAAS_MAX_CONNECTIONS": "32",  # so that four event streams are all
        "MSAAS_SCRATCH_DIR": str(tmp_path_factory.mktemp("scratch")),
        "MSAAS_MAX_UPLOAD_BYTES": "40000000",
        "MSAAS_MODEL": "htdemucs_mini",
    }


@pytest.fixture(scope="module")
def live(live_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One API for the module. Tests that use it take `queue` and `storage` too, which empties both."""
    log = tmp_path_factory.mktemp("live") / "log"
    process = start_api(live_environ, log)
    url = f"http://127.0.0.1:{live_environ['MSAAS_PORT']}"
    try:
        wait_alive(url, process, log)
        yield Live(url, process.pid, log, Path(live_environ["MSAAS_SCRATCH_DIR"]))
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()
