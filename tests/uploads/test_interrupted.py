"""The API as it runs: connections cut and processes killed in mid-upload. Nothing that arrived is sent again."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from msaas.local.processes.child import wait_until
from msaas.local.servers import Valkey, Weed
from msaas.queue import Queue
from msaas.storage import Storage
from msaas.uploads import Uploads
from tests.support.api import start_api, wait_alive
from tests.support.environment import BUSY_SECONDS, service_environ
from tests.uploads.conftest import BYTES, PATH, TUS, checksum

MIB = 1 << 20


def song_of(size: int) -> bytes:
    """Bytes of which no two pages are equal."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8))


@dataclass
class Api:
    url: str
    process: subprocess.Popen[bytes]
    scratch: Path

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(BUSY_SECONDS)

    def create(self, size: int) -> str:
        answer = requests.post(f"{self.url}{PATH}", headers=TUS | {"Upload-Length": str(size)}, timeout=60)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def offset(self, path: str) -> int:
        answer = requests.head(self.url + path, headers=TUS, timeout=60)
        assert answer.status_code == 200
        return int(answer.headers["Upload-Offset"])

    def append(self, path: str, offset: int, data: bytes, **headers: str) -> requests.Response:
        own = TUS | {"Upload-Offset": str(offset), "Content-Type": BYTES} | headers
        return requests.patch(self.url + path, data=data, headers=own, timeout=60)

    def begin(self, path: str, offset: int, length: int, sent: bytes, *lines: str) -> socket.socket:
        """A PATCH of `length` bytes of which only some are sent."""
        parts = urlsplit(self.url)
        wire = socket.create_connection((parts.hostname, parts.port), timeout=60)
        head = [f"PATCH {path} HTTP/1.1", "Host: x", "Tus-Resumable: 1.0.0", f"Content-Type: {BYTES}"]
        head += [f"Upload-Offset: {offset}", f"Content-Length: {length}", *lines, "", ""]
        wire.sendall("\r\n".join(head).encode() + sent)
        return wire


@contextmanager
def running_api(valkey: Valkey, s3: Weed, scratch: Path) -> Iterator[Api]:
    environ = service_environ(valkey, s3, scratch)
    url = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
    process = start_api(environ, scratch / "log")
    try:
        wait_alive(url, process, scratch / "log")
        yield Api(url, process, scratch)
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def shared_api(valkey: Valkey, s3: Weed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(valkey, s3, tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(shared_api: Api, queue: Queue, storage: Storage) -> Api:
    """One API for the module, with an empty queue and empty buckets."""
    return shared_api


@pytest.fixture
def other_api(valkey: Valkey, s3: Weed, tmp_path: Path) -> Iterator[Api]:
    """It shares Redis and the object store with the first, and no disk."""
    with running_api(valkey, s3, tmp_path) as api:
        yield api


def finished(api: Api, path: str, data: bytes) -> bool:
    """Sends the rest, unless another request holds the lock."""
    offset = api.offset(path)
    return offset == len(data) or api.append(path, offset, data[offset:]).status_code == 204


def test_all_bytes_that_arrived_before_the_connection_broke_are_kept(api, uploads):
    data = song_of(7 * MIB)
    path = api.create(len(data))
    for offset, sent in ((0, 100_001), (100_001, 6 * MIB), (100_001 + 6 * MIB, 1)):
        wire = api.begin(path, offset, len(data) - offset, data[offset : offset + sent])
        wire.close()
        assert wait_until(lambda wanted=offset + sent: api.offset(path) == wanted, BUSY_SECONDS)
    assert wait_until(lambda: finished(api, path, data), BUSY_SECONDS)
    assert b"".join(uploads.read(uploads.get(path.rpartition("/")[2]))) == data
    assert wait_until(lambda: not list(api.scratch.glob("*msaas-upload-*")), BUSY_SECONDS)


def test_a_body_with_a_checksum_that_was_cut_short_is_not_kept(api):
    data = song_of(MIB)
    path = api.create(len(data))
    api.begin(path, 0, len(data), data[:1000], f"Upload-Checksum: {checksum(data)}").close()
    assert wait_until(lambda: api.append(path, 0, b"", **{"Upload-Checksum": checksum(b"")}).ok, BUSY_SECONDS)
    assert api.offset(path) == 0


def test_clients_that_can_only_post_may_override_the_method(api):
    path = api.create(10)
    headers = TUS | {"Upload-Offset": "0", "Content-Type": BYTES, "X-HTTP-Method-Override": "PATCH"}
    answer = requests.post(api.url + path, data=b"x" * 10, headers=headers, timeout=60)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "10")
    override = TUS | {"X-HTTP-Method-Override": "DELETE"}
    assert requests.post(api.url + path, headers=override, timeout=60).status_code == 204
    assert requests.head(api.url + path, headers=TUS, timeout=60).status_code == 404


def test_while_one_request_appends_another_gets_423(api, redis):
    path = api.create(100)
    with api.begin(path, 0, 100, b"x" * 50):
        assert wait_until(lambda: redis.hexists(f"upload:{path.rpartition('/')[2]}", "lock"), BUSY_SECONDS)
        assert api.append(path, 0, b"y").status_code == 423


@pytest.mark.slow
def test_after_the_api_was_killed_in_mid_request_another_process_goes_on(api, other_api, uploads: Uploads):
    first, second = other_api, api
    data = song_of(14 * MIB)
    path = first.create(len(data))
    with first.begin(path, 0, len(data), data[: 13 * MIB]):
        assert wait_until(lambda: second.offset(path) >= 8 * MIB, BUSY_SECONDS)
        first.kill()
    assert second.offset(path) >= 8 * MIB
    assert wait_until(lambda: finished(second, path, data), BUSY_SECONDS)
    assert b"".join(uploads.read(uploads.get(path.rpartition("/")[2]))) == data


@pytest.mark.slow
def test_a_silent_client_loses_its_lock_to_the_next_request(api):
    """As when a phone's address changes: the old connection never ends."""
    data = song_of(2 * MIB)
    path = api.create(len(data))
    with api.begin(path, 0, len(data), data[:1000]):
        assert wait_until(lambda: finished(api, path, data), BUSY_SECONDS)


@pytest.mark.slow
def test_bytes_of_a_slow_client_are_stored_while_it_sends(api):
    data = song_of(3 * MIB)
    path = api.create(len(data))
    with api.begin(path, 0, len(data), data[: 2 * MIB]) as wire:
        for start_at in range(2 * MIB, len(data), 8):
            wire.sendall(data[start_at : start_at + 8])
            if wait_until(lambda: api.offset(path) >= 2 * MIB, 0.2):
                break
        assert api.offset(path) >= 2 * MIB
