"""Whatever is killed, the song still comes out, once."""

import socket
import time

import psutil
import pytest
import requests

from msaas.local.processes.child import wait_until
from tests.support.audio.sounds import decode_with_soundfile, flac, tune

pytestmark = pytest.mark.slow


@pytest.fixture
def service(service):
    service.start("api", "worker")
    return service


def comes_out_whole(service, songhash, seconds):
    job = service.until(songhash, "done")
    for stem in job["stems"]:
        assert decode_with_soundfile(service.stem(songhash, stem)).shape == (2, int(seconds * 44_100))
    queue = requests.get(f"{service.url}/apiv1/queue", timeout=60).json()
    assert (queue["queue"], queue["in_work"], queue["dead"]) == ([], [], [])
    return job


def test_the_separation_process_is_killed_in_mid_song(service):
    songhash = service.submit(flac(tune(20)))
    service.until_separating(songhash)
    service.separation_process().kill()
    assert comes_out_whole(service, songhash, 20)["attempts"] == 2


def test_the_supervisor_is_killed_in_mid_song_and_its_process_ends_too(service):
    songhash = service.submit(flac(tune(20)))
    service.until_separating(songhash)
    child = service.separation_process()
    service.kill("worker")
    assert wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 60)
    service.start("worker")
    assert comes_out_whole(service, songhash, 20)["attempts"] == 2


def test_the_api_is_killed_in_mid_upload(service):
    song = flac(tune(6))
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as upload:
        head = f"POST /apiv1/separate HTTP/1.1\r\nHost: {host}\r\nContent-Type: audio/flac\r\n"
        upload.sendall(f"{head}Content-Length: {len(song)}\r\n\r\n".encode() + song[: len(song) // 2])
        time.sleep(0.5)
        children = psutil.Process(service.parts["api"].pid).children(recursive=True)
        service.kill("api")  # first: it would start others in place of its children, and they would hold the port
        for process in children:
            process.kill()
    service.start("api")
    queue = requests.get(f"{service.url}/apiv1/queue", timeout=60).json()
    assert queue["queue"] == []
    songhash = service.submit(song)
    assert comes_out_whole(service, songhash, 6)["attempts"] == 1


def test_a_worker_told_to_stop_gives_its_song_back_for_the_next(service):
    service.env["MSAAS_GRACE_SECONDS"] = "0"
    service.parts.pop("worker").stop(20)
    service.start("worker")
    songhash = service.submit(flac(tune(40)))
    service.until_separating(songhash)
    service.parts.pop("worker").stop(20)
    job = service.job(songhash)
    assert (job["state"], job["attempts"], job["queue_position"]) == ("queued", 0, 0)
    service.start("worker")
    assert comes_out_whole(service, songhash, 40)["attempts"] == 1
