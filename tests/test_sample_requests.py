"""sample-requests.py against a live API, with a worker played by hand, over connections good and bad."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from msaas.local.servers import free_port

from .client.standin import DONE, HASH, Answer, serving
from .web.conftest import STEMS, Player, song_bytes, start_api, wait_alive

SCRIPT = Path(__file__).resolve().parents[1] / "sample-requests.py"


@pytest.fixture
def url(environ, queue, storage, tmp_path) -> Iterator[str]:
    log = tmp_path / "log"
    process = start_api(environ | {"MSAAS_PORT": (port := str(free_port()))}, log)
    try:
        wait_alive(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def worker(queue, storage, tmp_path) -> Iterator[None]:
    """Separates whatever comes, with some progress, into stems of 300 kB."""
    stopped = threading.Event()

    def work() -> None:
        player = Player(queue, storage, tmp_path)
        player.content = lambda stem: stem.encode() * 60_000  # type: ignore[method-assign]
        while not stopped.wait(0.1):
            if claim := queue.claim("watcher"):
                queue.renew(claim, {"stage": "separating", "progress": "0.5"})
                stopped.wait(0.7)
                player.finish(claim)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join(timeout=60)


@contextmanager
def dropping(url: str, drops: int, after_bytes: int) -> Iterator[str]:
    """A forwarded port whose first connections break off, each after so many bytes of the answer."""
    target = ("127.0.0.1", int(url.rpartition(":")[2]))
    left = [drops]

    def forward(near: socket.socket) -> None:
        limit = after_bytes if left[0] > 0 else None
        left[0] -= 1
        with near, socket.create_connection(target) as far:
            threading.Thread(target=pump, args=(near, far, None), daemon=True).start()
            pump(far, near, limit)
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        try:
            while True:
                near, _ = server.accept()
                threading.Thread(target=forward, args=(near,), daemon=True).start()
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    try:
        while limit is None or limit > 0:
            data = source.recv(65536 if limit is None else min(65536, limit))
            if not data:
                return
            sink.sendall(data)
            limit = None if limit is None else limit - len(data)
    except OSError:
        return


def run(url: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    song = tmp_path / os.fsdecode(b"s\xf6ng.mp3")  # not UTF-8
    song.write_bytes(song_bytes(1.0))
    command = [sys.executable, str(SCRIPT), str(song), "-o", str(tmp_path / "stems"), *options]
    return subprocess.run(
        command, env=os.environ | {"MSAAS_URL": url}, capture_output=True, text=True, timeout=120, check=False
    )


def stems_are_whole(folder: Path) -> bool:
    with zipfile.ZipFile(folder / "stems.zip") as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    expected = {f"{stem}.mp3": stem.encode() * 60_000 for stem in STEMS}
    saved = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "stems.zip"}
    return zipped == saved == expected


def test_the_walk_makes_every_call_and_leaves_the_stems(url, worker, storage, tmp_path):
    done = run(url, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stems_are_whole(tmp_path / "stems")
    for call in ("/healthz", "/readyz", "separate", "queue", "bucket", "events", "track", "stems.zip", "remove"):
        assert call in done.stdout
    assert "not_audio" in done.stdout
    assert "cancelled" in done.stdout
    assert "100%" in done.stderr  # the bar
    assert len(list(storage.names("output-tracks"))) == 3  # one removed, the buckets not emptied


@pytest.mark.slow
def test_the_walk_survives_connections_that_drop(url, worker, tmp_path):
    with dropping(url, drops=12, after_bytes=100_000) as flaky:
        done = run(flaky, tmp_path, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on where it stopped" in done.stdout
    assert stems_are_whole(tmp_path / "stems")


@pytest.mark.slow
def test_the_walk_survives_answers_that_never_come(url, worker, tmp_path):
    with dropping(url, drops=5, after_bytes=0) as flaky:
        done = run(flaky, tmp_path, "--keep", "--empty-buckets")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "connection lost, once more" in done.stdout
    assert "deleted" in done.stdout


def test_a_job_that_fails_is_told_and_is_an_error(url, queue, tmp_path):
    stopped = threading.Event()

    def fail() -> None:
        while not stopped.wait(0.05):  # a failed song that is posted again is tried again
            if claim := queue.claim("w"):
                queue.fail(claim, {"code": "not_audio", "detail": "nothing decodes"}, retry=False)

    thread = threading.Thread(target=fail, daemon=True)
    thread.start()
    done = run(url, tmp_path)
    stopped.set()
    thread.join(timeout=60)
    assert done.returncode == 1
    assert "nothing decodes" in done.stderr


def test_nobody_there_is_an_error_after_some_tries(tmp_path):
    command = [sys.executable, "-c", NO_PAUSES, str(SCRIPT), "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "http://127.0.0.1:9 does not answer" in done.stderr


def test_a_folder_that_cannot_be_written_and_an_address_that_is_none_are_told_in_a_line(tmp_path):
    (tmp_path / "stems").write_text("a file")
    refused = run("http://127.0.0.1:9", tmp_path)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    (tmp_path / "stems").unlink()
    wrong = run("localhost:5000", tmp_path)
    assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (1, 1)


def test_a_service_that_names_a_stem_otherwise_writes_nothing(tmp_path):
    with serving() as api:
        job = f"/apiv1/jobs/{HASH}"
        view = DONE | {"stems": {"../vocals": "/x"}, "timings": {}, "queue_position": None, "eta_seconds": None}
        for path in ("/healthz", "/readyz", "/apiv1/bucket"):
            api.answers[path] = [Answer(body={})]
        api.answers["/apiv1/separate"] = [Answer(202, {"songhash": HASH, "state": "queued", "message": ""})]
        api.answers["/apiv1/queue"] = [Answer(body={"queue": [], "in_work": []})]
        api.answers[f"{job}/events"] = [Answer(body=b"data: " + json.dumps(view | {"stage": ""}).encode() + b"\n\n")]
        api.answers[job] = [Answer(body=view)]
        done = run(api.url, tmp_path)
    assert done.returncode == 1
    assert "the service names a stem or a format '../vocals'" in done.stderr
    assert not list((tmp_path / "stems").iterdir())


NO_PAUSES = """
import runpy, sys, time
time.sleep = lambda seconds: None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_it_needs_requests_and_tqdm_and_nothing_else_of_ours():
    text = SCRIPT.read_text()
    assert "msaas." not in text and "import msaas" not in text


def test_the_default_song_is_there():
    assert sorted((SCRIPT.parent / "data").glob("*.mp3"))
