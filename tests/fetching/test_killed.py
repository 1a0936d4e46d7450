"""The API as a process of its own is killed while it fetches, and one that starts later fetches the song again."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import requests

from msaas.local.processes.child import wait_until
from tests.support.api import start_api, wait_alive
from tests.support.environment import BUSY_SECONDS


@pytest.mark.slow
def test_a_fetch_of_a_killed_api_is_run_by_the_next_one(environ, queue, storage, server, song, tmp_path):
    origin = server(song, held=threading.Event())
    environ = environ | {"MSAAS_FETCH_ALLOW": "127.0.0.0/8"}
    url = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
    killed = start_api(environ, tmp_path / "killed.log")
    wait_alive(url, killed, tmp_path / "killed.log")
    name = requests.post(f"{url}/apiv1/separate", json={"url": origin.url}, timeout=60).json()["songhash"]
    assert origin.reached.wait(BUSY_SECONDS)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    origin.held.set()
    other = start_api(environ, tmp_path / "other.log")
    try:
        wait_alive(url, other, tmp_path / "other.log")
        deadline = time.monotonic() + BUSY_SECONDS
        while not queue.waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        view = requests.get(f"{url}/apiv1/jobs/{name}", timeout=60).json()
        assert ([view["songhash"]], view["state"]) == (queue.waiting(), "queued")
        # the killed process' folder is swept, and that of the fetch that submitted the song goes when it ends
        assert wait_until(lambda: not list(tmp_path.glob("msaas-fetch-*")), BUSY_SECONDS)
    finally:
        other.terminate()
        other.wait(60)
