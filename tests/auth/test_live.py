"""Keys and limits on the wire: a real server, fifty callers at once, and its log read afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from msaas.auth.keys import new_key
from msaas.local.servers import free_port
from tests.support.api import URL, song_bytes, start_api, wait_alive
from tests.support.clients.sample_requests import run, stems_are_whole, worker
from tests.support.clients.wire import POST, wire_to

__all__ = ["worker"]

KEY, HELD = new_key("anna", ["use"])


LIMITS = {"MSAAS_RATE_LIMIT_PER_MINUTE": "30", "MSAAS_MAX_QUEUE": "9"}


@pytest.fixture
def api(environ, queue, storage, tmp_path) -> Iterator[tuple[str, Path]]:
    log, port = tmp_path / "log", str(free_port())
    own = {"MSAAS_API_KEYS": f"\n{HELD.line}\n", "MSAAS_PORT": port, "MSAAS_LOG_LEVEL": "debug"}
    queue.lease_ms = 60_000  # of the worker that is played: a busy machine must not take its job away
    process = start_api(environ | LIMITS | own, log)
    try:
        wait_alive(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.slow
def test_fifty_callers_get_no_more_than_there_is_and_no_key_is_logged(api, redis):
    url, log = api

    def post(n: int) -> int:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "audio/wav"}
        return requests.post(url + URL, data=song_bytes(hertz=100 + n), headers=headers, timeout=120).status_code

    with ThreadPoolExecutor(50) as crowd:
        found = Counter(crowd.map(post, range(50)))
    assert found[202] == redis.llen("toWorkers") <= 9
    assert found[202] + found[503] == 30
    assert found[429] == 20
    refused = requests.get(f"{url}/apiv1/models?key={KEY}", timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (400, "key_in_url")
    assert requests.get(f"{url}/{KEY}", timeout=60).status_code == 400
    text = log.read_text()
    assert "refused who='key anna'" in text
    assert KEY[6:] not in text and HELD.digest not in text


@pytest.mark.parametrize("line", [(), ("Authorization: Bearer msaas_wrong",)])
def test_a_client_without_a_valid_key_gets_its_answer_although_it_is_still_sending(api, line):
    url, _ = api
    with wire_to(url) as wire:
        wire.send(*POST, "Content-Length: 1000000", *line)
        for _ in range(20):
            wire.socket.sendall(bytes(50_000))
            time.sleep(0.02)  # the answer would arrive in this time, and so would a reset
        assert wire.read_all().startswith(b"HTTP/1.1 401")


@pytest.mark.slow
def test_the_walk_through_the_calls_shows_its_key_and_is_told_what_an_admins_are(api, worker, tmp_path, monkeypatch):
    url, log = api
    refused = run(url, tmp_path)
    assert refused.returncode == 1
    assert "key_missing" in refused.stderr
    monkeypatch.setenv("MSAAS_API_KEY", KEY)
    done = run(url, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stems_are_whole(tmp_path / "stems")
    assert "needs the scope admin" in done.stdout
    assert KEY not in done.stdout + done.stderr + log.read_text()
