"""The API as it runs, with limits that a test reaches, and what decoding makes of what it lets in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from msaas.audio.decode.decoder import measure
from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.errors import AudioError
from msaas.local.servers import Valkey, Weed
from tests.hostile.table import MAX_DECODED_BYTES, MAX_DURATION_SECONDS, MAX_UPLOAD_BYTES
from tests.support.api import start_api, wait_alive
from tests.support.environment import service_environ

LIMITS = Limits(MAX_DURATION_SECONDS, MAX_DECODED_BYTES)
SETTINGS = {
    "MSAAS_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
    "MSAAS_MAX_DURATION_SECONDS": str(MAX_DURATION_SECONDS),
    "MSAAS_MAX_DECODED_BYTES": str(MAX_DECODED_BYTES),
}


@dataclass
class Service:
    url: str
    process: subprocess.Popen[bytes]
    scratch: Path

    def post(self, data: bytes, kind: str = "audio/mpeg") -> requests.Response:
        return requests.post(f"{self.url}/apiv1/separate", data=data, headers={"Content-Type": kind}, timeout=120)

    def alive(self) -> bool:
        return self.process.poll() is None and requests.get(f"{self.url}/healthz", timeout=60).status_code == 200


@pytest.fixture(scope="module")
def service(valkey: Valkey, s3: Weed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Tests that use it take `queue` and `storage` too, which empties both."""
    scratch = tmp_path_factory.mktemp("scratch")
    environ = service_environ(valkey, s3, scratch) | SETTINGS
    log = tmp_path_factory.mktemp("service") / "log"
    process = start_api(environ, log)
    url = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
    try:
        wait_alive(url, process, log)
        yield Service(url, process, scratch)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module", autouse=True)
def _no_helper_left() -> Iterator[None]:
    yield
    launcher.stop()


def heard(song: Path) -> tuple[str, float]:
    """What a run finds first: the code it fails with and 0, or "" and the seconds of finite sound."""
    try:
        stats = measure(IsolatedDecoder(song, sample_rate=44_100, channels=2, limits=LIMITS))
    except AudioError as error:
        return error.code, 0.0
    assert abs(stats.mean) < float("inf") and stats.std < float("inf")  # no NaN either
    return "", stats.total_samples / 44_100
