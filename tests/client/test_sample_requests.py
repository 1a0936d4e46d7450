"""sample-requests.py against a live API, with a worker played by hand, over connections good and bad."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from msaas.local.servers import free_port
from tests.support.api import start_api, wait_alive
from tests.support.clients.sample_requests import SCRIPT, dropping, run, stems_are_whole
from tests.support.models.standin import DONE, HASH, Answer, serving


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


def test_the_walk_makes_every_call_and_leaves_the_stems(url, worker, queue, storage, tmp_path):
    done = run(url, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stems_are_whole(tmp_path / "stems")
    for call in ("/healthz", "/readyz", "separate", "queue", "bucket", "events", "track", "stems.zip", "remove"):
        assert call in done.stdout
    assert "not_audio" in done.stdout
    assert "cancelled" in done.stdout
    assert "100%" in done.stderr  # the bar
    # The worker here may put stems of a song that was cancelled meanwhile; a real one does not.
    stems = [item.name for item in storage.names("output-tracks") if queue.get(item.name[:36]).state == "done"]
    assert len(stems) == 3  # one removed, the buckets not emptied


@pytest.mark.slow
def test_the_walk_survives_connections_that_drop(url, worker, tmp_path):
    with dropping(url, drops=12, after_bytes=100_000) as flaky:
        done = run(flaky, tmp_path, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "connection lost, resuming" in done.stdout
    assert stems_are_whole(tmp_path / "stems")


@pytest.mark.slow
def test_the_walk_survives_answers_that_never_come(url, worker, tmp_path):
    with dropping(url, drops=5, after_bytes=0) as flaky:
        done = run(flaky, tmp_path, "--keep", "--empty-buckets")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "connection lost, retrying" in done.stdout
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
    reason, *advice = done.stderr.strip().splitlines()
    assert reason.startswith("no service answers at http://127.0.0.1:9: ")
    assert reason.endswith("Connection refused")
    assert advice == ["start one with `make serve` or `msaas up`; --url or MSAAS_URL names another one"]
    assert done.stdout.count("no service: ") == 3


def test_a_song_that_is_done_is_told_to_be_done(url, worker, tmp_path):
    already = "the stems are there already: nothing was queued"
    assert already not in run(url, tmp_path, "--keep").stdout
    assert already in run(url, tmp_path, "--keep").stdout


def test_a_folder_that_cannot_be_written_and_an_address_that_is_none_are_told_in_a_line(tmp_path):
    (tmp_path / "stems").write_text("a file")
    refused = run("http://127.0.0.1:9", tmp_path)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    (tmp_path / "stems").unlink()
    wrong = run("localhost:5000", tmp_path)
    assert (wrong.returncode, len(wrong.stderr.strip().splitlines())) == (1, 1)
    assert "try http://localhost:5000" in wrong.stderr


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
    assert "the service returned an invalid name of a stem or format: '../vocals'" in done.stderr
    assert not list((tmp_path / "stems").iterdir())


NO_PAUSES = """
import runpy, sys, time
time.sleep = lambda seconds: None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_progress_and_result_are_told_with_few_digits_and_no_space_before_a_comma():
    script = runpy.run_path(str(SCRIPT))
    queued = {"state": "queued", "stage": "", "queue_position": 0, "eta_seconds": None}
    assert script["progress_of"](queued) == "queued, 0 songs ahead"
    assert script["progress_of"](queued | {"queue_position": 1}) == "queued, 1 song ahead"
    running = {"state": "running", "stage": "separating", "queue_position": None, "eta_seconds": 8.26}
    assert script["progress_of"](running) == "running separating, about 8 s left"
    done = {"model": "m", "duration_seconds": 38.09285714285714, "timings": {"decode": 0.12345, "separate": 7}}
    assert script["result_of"](done) == "model m, 38.1 s of music, timings: decode 0.1 s, separate 7.0 s"
    assert script["result_of"](done | {"duration_seconds": None, "timings": {}}) == "model m"


def test_it_needs_requests_and_tqdm_and_nothing_else_of_ours():
    text = SCRIPT.read_text()
    assert "msaas." not in text and "import msaas" not in text


def test_the_default_song_is_there():
    assert sorted((SCRIPT.parent / "data").glob("*.mp3"))
