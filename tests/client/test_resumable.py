"""Large songs go in parts: through connections that break, over a killed client and a killed API."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from msaas import cli
from msaas.client import Client, ServiceError, Unreachable, resumable
from msaas.client.remembered import KEPT_SECONDS, default_folder
from msaas.local.processes.child import wait_until
from msaas.storage import UPLOADS, Storage
from tests.chaos.lab.proxy import Cut, Proxy
from tests.support.api import song_bytes, start_api, wait_alive
from tests.support.environment import BUSY_SECONDS
from tests.support.models.standin import HASH, Answer, Api

PART = 256 * 1024
SEPARATE = "/apiv1/separate"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resumable, "PART_BYTES", PART)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """1.6 MB."""
    path = tmp_path / "a large song.wav"
    path.write_bytes(song_bytes(100))
    return path


def in_parts(url: str, **more: Any) -> Client:
    return Client(url, resumable_bytes=100_000, sleep=lambda _: None, **more)


def songhash_of(url: str, song: Path, **options: str) -> str:
    """Of the song sent at once."""
    headers = {"Content-Type": "audio/wav"}
    answer = requests.post(f"{url}{SEPARATE}", params=options, data=song.read_bytes(), headers=headers, timeout=60)
    return str(answer.json()["songhash"])


class Counting:
    """Counts what goes up through a proxy, and cuts each connection after so many bytes."""

    def __init__(self, cut_after: int | None) -> None:
        self.cut_after, self.bytes, self._left = cut_after, 0, cut_after or 0

    def __call__(self, piece: bytes, way: str) -> bytes:
        if way == "down":
            return piece
        self.bytes += len(piece)
        self._left -= len(piece)
        if self.cut_after is None or self._left > 0:
            return piece
        self._left = self.cut_after
        return Cut(piece[:-1])


@pytest.fixture
def proxied(url: str) -> Iterator[Callable[[Counting], str]]:
    """A way to the service, through a proxy; its URL."""
    proxy = Proxy(urlsplit(url).netloc)

    def make(fault: Counting) -> str:
        proxy.fault = fault
        return f"http://{proxy.address}"

    with closing(proxy):
        yield make


def test_a_large_song_goes_in_parts_and_is_the_same_job(url: str, large: Path, storage: Storage) -> None:
    seen: list[tuple[int, int]] = []
    options = {"stems": ["vocals", "drums"], "format": "flac", "mono": True, "start": 1.5, "shifts": 2}
    callback = {"url": "https://example.org/hook", "data": {"order": 17}}
    job = in_parts(url).submit(large, callback=callback, on_upload=lambda *one: seen.append(one), **options)
    assert job.name == "a large song"
    size = large.stat().st_size
    assert seen[-1] == (size, size)
    assert [sent for sent, _ in seen] == sorted(sent for sent, _ in seen)
    texts = {"stems": "vocals,drums", "format": "flac", "mono": "true", "start": "1.5", "shifts": "2"}
    assert songhash_of(url, large, **texts) == job.songhash
    view = requests.get(f"{url}/apiv1/jobs/{job.songhash}", timeout=60).json()
    assert [one["to"] for one in view["callbacks"]] == ["https://example.org"]
    assert list(storage.names(UPLOADS)) == []
    assert list((default_folder() or Path()).iterdir()) == []


def test_a_connection_that_keeps_breaking_is_enough(url: str, proxied: Callable[[Counting], str], large: Path) -> None:
    """An upload that started over would never be complete."""
    lossy = Counting(cut_after=300_000)
    job = in_parts(proxied(lossy), retries=50).submit(large)
    assert songhash_of(url, large) == job.songhash
    assert lossy.bytes > large.stat().st_size


def test_a_client_that_was_killed_goes_on_where_it_stopped(
    url: str, proxied: Callable[[Counting], str], large: Path
) -> None:
    whole = Counting(None)
    address, size = proxied(whole), large.stat().st_size

    class Killed(BaseException):
        pass

    def kill(sent: int, _size: int) -> None:
        if sent > size / 2:
            raise Killed

    with pytest.raises(Killed):
        in_parts(address).submit(large, on_upload=kill)
    [remembered] = (default_folder() or Path()).iterdir()
    assert oct(remembered.stat().st_mode)[-3:] == "600"
    whole.bytes = 0
    seen: list[int] = []
    job = in_parts(address).submit(large, on_upload=lambda sent, _: seen.append(sent))
    assert songhash_of(url, large) == job.songhash
    assert whole.bytes < size - size / 2 + 2 * PART
    assert seen[0] > size / 2 - 2 * PART


def test_an_upload_that_the_service_lost_is_sent_again(url: str, large: Path, storage: Storage, redis: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        in_parts(url).submit(large, on_upload=lambda sent, size: 1 / (sent < size))
    redis.flushall()
    storage.empty()
    assert in_parts(url).submit(large).songhash == songhash_of(url, large)


def test_chunks_that_the_store_lost_are_sent_again(url: str, large: Path, storage: Storage) -> None:
    with pytest.raises(ServiceError, match="invalid_option"):
        in_parts(url).submit(large, model="nothing")
    storage.empty()
    assert in_parts(url).submit(large).songhash == songhash_of(url, large)


def test_after_a_refused_option_nothing_is_sent_again(
    proxied: Callable[[Counting], str], large: Path, storage: Storage
) -> None:
    whole = Counting(None)
    address = proxied(whole)
    with pytest.raises(ServiceError, match="invalid_option"):
        in_parts(address).submit(large, model="nothing")
    whole.bytes = 0
    assert in_parts(address).submit(large).state == "queued"
    assert whole.bytes < 10_000


def test_what_is_not_remembered_starts_again(url: str, large: Path) -> None:
    with pytest.raises(ServiceError):
        in_parts(url, remember_uploads=False).submit(large, model="nothing")
    assert not (default_folder() or Path()).exists()


def test_a_folder_that_cannot_be_used_is_no_reason_to_fail(
    url: str, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert in_parts(url).submit(large).state == "queued"


def test_remembered_uploads_are_removed_when_they_are_old(url: str, large: Path) -> None:
    folder = default_folder() or Path()
    folder.mkdir(parents=True)
    for name, age in (("old", KEPT_SECONDS + 60), ("young", 60)):
        (folder / name).write_text("/apiv1/uploads/x")
        os.utime(folder / name, (time.time() - age,) * 2)
    in_parts(url).submit(large)
    assert [path.name for path in folder.iterdir()] == ["young"]


@pytest.mark.parametrize(
    "text", ["", "junk", "/apiv1/uploads/../separate", "https://evil.example/apiv1/uploads/x", "\xff"]
)
def test_a_damaged_memory_is_none(url: str, large: Path, text: str) -> None:
    with pytest.raises(ServiceError):
        in_parts(url).submit(large, model="nothing")
    [remembered] = (default_folder() or Path()).iterdir()
    remembered.write_text(text, encoding="latin-1")
    assert in_parts(url).submit(large).state == "queued"


def test_a_small_song_goes_at_once(api: Api, song: Path) -> None:
    Client(api.url).submit(song)
    assert [asked.path for asked in api.asked if asked.method == "POST"] == [SEPARATE]


def test_an_older_service_gets_the_song_at_once(api: Api, large: Path) -> None:
    api.answers["/apiv1/uploads"] = [Answer(404, {"code": "not_found", "detail": "no such call"})]
    assert in_parts(api.url).submit(large, stems=["vocals"]).songhash == HASH
    posted = api.asked[1]
    assert (posted.path, posted.body, posted.query["stems"]) == (SEPARATE, large.read_bytes(), "vocals")


def test_a_service_that_stays_away_is_unreachable(url: str, proxied: Callable[[Counting], str], large: Path) -> None:
    nothing = Counting(cut_after=1)
    with pytest.raises(Unreachable):
        in_parts(proxied(nothing), retries=3).submit(large)


def test_the_limit_of_the_service_is_told_before_a_byte_is_sent(api: Api, large: Path) -> None:
    detail = {"code": "upload_too_large", "detail": "the limit is 1000", "status": 413}
    api.answers["/apiv1/uploads"] = [Answer(413, detail)]
    with pytest.raises(ServiceError, match="the limit is 1000"):
        in_parts(api.url).submit(large)
    assert [asked.body for asked in api.asked] == [b""]


@pytest.mark.slow
def test_the_command_sends_large_files_in_parts(
    url: str, worker: None, tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []
    remember = resumable.ResumableUpload.send
    monkeypatch.setattr(resumable.ResumableUpload, "send", lambda self: stored.append("") or remember(self))
    monkeypatch.setattr(resumable, "PART_BYTES", 8 << 20)
    song = tmp_path / "long.wav"
    block = song_bytes(10)
    head, samples = block[:44], block[44:]
    size = len(samples) * 130  # 21 MB
    song.write_bytes(head[:4] + (size + 36).to_bytes(4, "little") + head[8:40] + size.to_bytes(4, "little"))
    with song.open("ab") as file:
        for _ in range(130):
            file.write(samples)
    assert cli.main(["separate", str(song), "-o", str(tmp_path / "out"), "--url", url]) == 0
    assert stored == [""]


@pytest.mark.slow
def test_after_an_api_was_killed_and_started_again_no_stored_part_is_sent_again(
    environ: dict[str, str], queue: Any, storage: Storage, large: Path, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
    proxy = Proxy(urlsplit(address).netloc)
    process = start_api(environ, tmp_path / "log")
    wait_alive(address, process, tmp_path / "log")
    half, killed, later = threading.Event(), threading.Event(), list[int]()

    def watch(sent: int, size: int) -> None:
        if sent > size / 2 and not half.is_set():
            half.set()
            assert killed.wait(BUSY_SECONDS)
        elif killed.is_set():
            later.append(sent)

    client = Client(f"http://{proxy.address}", resumable_bytes=0, retries=10_000, sleep=lambda _: time.sleep(0.05))
    jobs: list[Any] = []
    thread = threading.Thread(target=lambda: jobs.append(client.submit(large, on_upload=watch)))
    thread.start()
    try:
        assert half.wait(BUSY_SECONDS)
        process.send_signal(signal.SIGKILL)
        process.wait(BUSY_SECONDS)
        killed.set()
        process = start_api(environ, tmp_path / "log")
        thread.join(2 * BUSY_SECONDS)
        assert songhash_of(address, large) == jobs[0].songhash
        assert min(later) > large.stat().st_size / 2 - 2 * PART
        assert wait_until(lambda: not list(storage.names(UPLOADS)), BUSY_SECONDS)
    finally:
        process.terminate()
        process.wait(60)
        proxy.close()


def test_a_batch_of_files_and_a_job_is_followed_and_cancelled(url: str, songs: list[Path], storage: Storage) -> None:
    with Client(url) as client:
        uploads = [client.upload(song) for song in songs]
        batch = client.submit_batch([{"upload": one, "filename": "x.wav"} for one in uploads], stems=["vocals"])
        assert (batch.state, batch.total, batch.ended) == ("queued", 3, False)
        assert wait_until(lambda: all(song["songhash"] for song in client.batch(batch).songs), BUSY_SECONDS)
        jobs = [client.job(song["id"]) for song in client.batch(batch.id).songs]
        assert [job.songhash for job in jobs] == [songhash_of(url, song, stems="vocals") for song in songs]
        with pytest.raises(ServiceError, match=r"songs\[0\]"):
            client.submit_batch([{"job": "00000000-0000-4000-8000-000000000000"}])
        cancelled = client.cancel_batch(batch)
        assert (cancelled.state, cancelled.counts["cancelled"], cancelled.ended) == ("cancelled", 3, True)


def test_the_end_of_a_batch_is_noticed_by_the_running_api(url: str, worker: None, songs: list[Path]) -> None:
    with Client(url) as client:
        batch = client.submit_batch([{"upload": client.upload(song)} for song in songs], priority="normal")
        assert wait_until(lambda: client.batch(batch).state == "done", BUSY_SECONDS)
        assert client.batch(batch).counts["done"] == 3
