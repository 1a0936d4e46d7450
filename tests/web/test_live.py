"""The API as it runs: a process of its own, real sockets, clients that stop halfway."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.api import URL, Live, song_bytes, start_api, wait_alive
from tests.support.environment import BUSY_SECONDS

pytestmark = pytest.mark.usefixtures("queue", "storage")

MEGABYTE = 1 << 20


def raw_connection(live: Live) -> socket.socket:
    parts = urlsplit(live.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def wait_until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def test_a_song_in_each_body_type_is_probed_stored_and_queued(live, queue, storage):
    song = song_bytes(hertz=300)
    raw = requests.post(live.url + URL, data=song, headers={"Content-Type": "audio/wav"}, timeout=60)
    form = requests.post(live.url + URL, files={"file": ("s.wav", song)}, timeout=60)
    text = requests.post(live.url + URL, json={"mp3": base64.b64encode(song).decode()}, timeout=60)
    assert [raw.status_code, form.status_code, text.status_code] == [202, 200, 200]
    assert raw.json()["songhash"] == form.json()["songhash"] == text.json()["songhash"]
    assert queue.waiting() == [raw.json()["songhash"]]
    assert storage.has_input(raw.json()["songhash"])
    assert queue.get(raw.json()["songhash"]).upload["codec"] == "pcm_s16le"


def test_a_body_without_a_length_is_taken_and_without_a_type_too(live, queue):
    song = song_bytes(hertz=310)
    posted = requests.post(live.url + URL, data=(song[i : i + 999] for i in range(0, len(song), 999)), timeout=60)
    assert posted.request.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Type" not in posted.request.headers
    assert posted.status_code == 202, posted.text


def test_a_body_without_a_length_is_stopped_at_the_limit(live, queue):
    endless = (b"x" * MEGABYTE for _ in range(60))
    posted = requests.post(live.url + URL, data=endless, timeout=60)
    assert posted.status_code == 413
    assert posted.json()["code"] == "upload_too_large"
    assert "40000000" in posted.json()["detail"]
    assert not list(live.scratch.iterdir())


def test_a_declared_length_past_the_limit_is_refused_and_the_client_gets_to_read_why(live):
    posted = requests.post(live.url + URL, data=bytes(50 * MEGABYTE), headers={"Content-Type": "audio/wav"}, timeout=60)
    assert posted.status_code == 413
    assert posted.json()["code"] == "upload_too_large"


def test_what_is_not_audio_is_refused_before_it_is_queued(live, queue, storage):
    posted = requests.post(live.url + URL, data=b"certainly no song" * 99, timeout=60)
    assert posted.status_code == 422
    assert posted.json()["code"] == "not_audio"
    assert queue.counts().waiting == 0
    assert not list(storage.names("input-tracks"))
    assert not list(live.scratch.iterdir())


@pytest.mark.parametrize("head", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
def test_a_client_that_goes_away_leaves_nothing_behind(live, queue, head):
    with raw_connection(live) as wire:
        wire.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n{head}\r\n\r\n".encode())
        wire.sendall(b"F4240\r\n" + bytes(MEGABYTE // 2))
        wait_until(lambda: any(path.stat().st_size for path in live.scratch.iterdir()))
    wait_until(lambda: not list(live.scratch.iterdir()))
    assert queue.counts().waiting == 0


def test_chunks_that_are_none_are_a_problem_not_a_crash(live):
    with raw_connection(live) as wire:
        wire.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".encode())
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"bad_chunks" in answer


def test_no_header_tells_the_servers_version(live):
    headers = requests.get(f"{live.url}/healthz", timeout=60).headers
    assert not any(c.isdigit() for c in headers["Server"])


def test_a_large_json_body_takes_little_memory(live, queue):
    requests.post(live.url + URL, json={"mp3": base64.b64encode(song_bytes()).decode()}, timeout=60)
    before = live.peak_bytes()
    song = song_bytes(0.5) + os.urandom(36 * MEGABYTE)
    posted = requests.post(live.url + URL, json={"mp3": base64.b64encode(song).decode()}, timeout=120)
    assert posted.status_code == 202, posted.text
    assert live.peak_bytes() - before < 40 * MEGABYTE  # the text alone has 48


# --- events


def events(response: requests.Response) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in response.iter_lines(decode_unicode=True) if line.startswith("data: ")]


def test_events_tell_each_change_until_the_job_is_done(live, queue, player):
    posted = requests.post(live.url + URL, data=song_bytes(hertz=320), timeout=60).json()
    stream = requests.get(live.url + posted["links"]["events"], stream=True, timeout=60)
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.headers["Cache-Control"] == "no-store"
    lines = stream.iter_lines(decode_unicode=True)
    assert next(line for line in lines if line.startswith("event:")) == "event: job"
    player.work()
    views = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [views[0]["state"], views[-1]["state"]] == ["queued", "done"]
    assert views[-1]["stems"]["vocals"] == f"/apiv1/track/{posted['songhash']}-vocals"


def test_event_streams_are_capped_and_their_places_come_free(live, queue):
    posted = requests.post(live.url + URL, data=song_bytes(hertz=330), timeout=60).json()
    url = live.url + posted["links"]["events"]
    streams = [requests.get(url, stream=True, timeout=60) for _ in range(4)]
    beyond = requests.get(url, stream=True, timeout=60)
    assert [stream.status_code for stream in streams] == [200] * 4
    assert beyond.status_code == 503
    assert beyond.json()["code"] == "busy"
    assert int(beyond.headers["Retry-After"]) > 0
    assert requests.get(f"{live.url}/healthz", timeout=60).ok
    for stream in streams:
        stream.close()
    requests.delete(live.url + posted["links"]["job"], timeout=60)  # the next write finds the clients gone

    def free() -> bool:
        with requests.get(url, stream=True, timeout=60) as again:
            return again.status_code == 200

    wait_until(free)


# --- starting and stopping


def test_a_taken_port_is_a_clear_error(live, live_environ, tmp_path):
    process = start_api(live_environ, tmp_path / "log")
    assert process.wait(timeout=60) == 2
    assert "MSAAS_PORT" in (tmp_path / "log").read_text()


def test_it_starts_without_s3_and_stops_at_once_with_a_stream_open(live_environ, queue, tmp_path):
    log, port = tmp_path / "log", str(_free_port())
    process = start_api(live_environ | {"MSAAS_PORT": port, "MINIO_HOST": "127.0.0.1:9"}, log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_alive(url, process, log)
        ready = requests.get(f"{url}/readyz", timeout=60)
        assert ready.status_code == 503
        assert (ready.json()["redis"], ready.json()["s3"] == "ok") == ("ok", False)
        queue.submit("00000000-0000-0000-0000-000000000001", {})
        stream = requests.get(f"{url}/apiv1/jobs/00000000-0000-0000-0000-000000000001/events", stream=True, timeout=60)
        assert stream.status_code == 200
        began = time.monotonic()
    finally:
        process.terminate()
    assert process.wait(timeout=60) == 0
    assert time.monotonic() - began < BUSY_SECONDS


def test_what_a_killed_server_left_in_scratch_is_swept_at_the_next_start(live_environ, tmp_path):
    scratch, port = tmp_path / "scratch", str(_free_port())
    environ = live_environ | {"MSAAS_PORT": port, "MSAAS_SCRATCH_DIR": str(scratch)}
    process = start_api(environ, tmp_path / "log")
    wait_alive(f"http://127.0.0.1:{port}", process, tmp_path / "log")
    upload = threading.Thread(target=_upload_without_end, args=(f"http://127.0.0.1:{port}",), daemon=True)
    upload.start()
    wait_until(lambda: scratch.exists() and list(scratch.iterdir()))
    _kill_family(process)
    upload.join(timeout=60)
    (left,) = scratch.iterdir()
    os.utime(left, (1, 1))
    process = start_api(environ, tmp_path / "log")
    wait_alive(f"http://127.0.0.1:{port}", process, tmp_path / "log")
    process.terminate()
    process.wait(timeout=60)
    assert not list(scratch.iterdir())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _upload_without_end(url: str) -> None:
    def trickle() -> Any:
        while True:
            yield b"x" * 100_000
            time.sleep(0.1)

    with pytest.raises(requests.ConnectionError):
        requests.post(url + URL, data=trickle(), timeout=60)


def _kill_family(process: subprocess.Popen[bytes]) -> None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    for pid in children:
        os.kill(int(pid), 9)
