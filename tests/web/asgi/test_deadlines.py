"""Clients that are slow on purpose: each deadline passes, each limit holds, nobody else notices."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import requests

from tests.support.api import URL, song_bytes
from tests.support.clients.wire import POST, wire_to

from .conftest import dropped, problem_of, wait_until

pytestmark = pytest.mark.usefixtures("queue", "storage")


def statuses(url: str) -> list[int]:
    """What a client that behaves is answered: by both probes, and to a song."""
    asked = [requests.get(url + path, timeout=60) for path in ("/healthz", "/readyz")]
    return [one.status_code for one in (*asked, requests.post(url + URL, data=song_bytes(hertz=500), timeout=60))]


WELL = ([200, 200, 200], [200, 200, 202])  # the song is new to the service the first time only


# --- deadlines


def test_headers_that_stop_halfway_are_answered_in_time(strict):
    with wire_to(strict.url) as wire:
        wire.socket.sendall(b"GET /heal")
        said = problem_of(wire.read_all())
    assert (said["status"], said["code"]) == (408, "headers_too_late")


def test_headers_that_trickle_get_no_more_time(strict):
    before = dropped(strict.url, "headers_too_late")
    with wire_to(strict.url) as wire:
        wire.socket.sendall(b"GET /healthz HTTP/1.1\r\n")

        def closed() -> bool:
            try:
                wire.socket.sendall(b"X-a: b\r\n")
            except OSError:
                return True
            return dropped(strict.url, "headers_too_late") > before

        wait_until(closed)
    assert dropped(strict.url, "headers_too_late") > before


def test_a_connection_that_says_nothing_is_closed_without_a_word(strict):
    with wire_to(strict.url) as wire:
        assert wire.read_all() == b""


def test_a_kept_connection_has_the_same_time_for_its_next_headers(strict):
    with wire_to(strict.url) as wire:
        wire.send("GET /healthz HTTP/1.1", "Host: x")
        wire.read_until(b"ok")
        wire.socket.sendall(b"GET /heal")
        assert problem_of(wire.read_all())["code"] == "headers_too_late"


def test_a_body_that_stops_is_answered_and_leaves_nothing(strict, queue):
    with wire_to(strict.url) as wire:
        wire.send(*POST, "Content-Length: 1000000", body=b"x" * 1000)
        said = problem_of(wire.read_all())
    assert (said["status"], said["code"]) == (408, "client_too_slow")
    assert "100000 bytes a second" in said["detail"]
    wait_until(lambda: not list(strict.scratch.glob("msaas-upload-*")))
    assert queue.counts().waiting == 0


def test_a_client_that_takes_nothing_of_its_stem_is_dropped(strict, player, queue, storage, tmp_path):
    posted = requests.post(strict.url + URL, data=song_bytes(hertz=510), timeout=60).json()
    player.work()
    (tmp_path / "stem").write_bytes(bytes(8_000_000))
    storage.put_stem(f"{posted['songhash']}-vocals.mp3", tmp_path / "stem")
    before = dropped(strict.url, "too_slow")
    with wire_to(strict.url, window=2048) as wire:
        wire.send(f"GET /apiv1/track/{posted['songhash']}-vocals HTTP/1.1", "Host: x")
        assert wire.socket.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: dropped(strict.url, "too_slow") > before)


# --- threads and shares


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /heal",),
        (*POST, "Content-Length: 1000000", "", "x"),
        (*POST, "Transfer-Encoding: chunked", "", "1"),
        ("",),
    ],
    ids=["headers", "bodies", "chunks", "silence"],
)
def test_many_more_slow_clients_than_threads_hold_up_nobody(patient, lines):
    with ExitStack() as wires:
        for _ in range(40):
            wires.enter_context(wire_to(patient.url)).socket.sendall("\r\n".join(lines).encode())
        assert statuses(patient.url) in WELL


def test_more_readers_than_threads_hold_up_nobody(patient, player, storage, tmp_path):
    posted = requests.post(patient.url + URL, data=song_bytes(hertz=520), timeout=60).json()
    player.work()
    (tmp_path / "stem").write_bytes(bytes(4_000_000))
    storage.put_stem(f"{posted['songhash']}-vocals.mp3", tmp_path / "stem")
    with ExitStack() as wires:
        for _ in range(12):
            wire = wires.enter_context(wire_to(patient.url, window=2048))
            wire.send(f"GET /apiv1/track/{posted['songhash']}-vocals HTTP/1.1", "Host: x")
            assert wire.socket.recv(12) == b"HTTP/1.1 200"
        assert statuses(patient.url) in WELL


def test_a_caller_with_too_many_requests_is_told_so_and_others_are_not(narrow):
    with wire_to(narrow.url) as one, wire_to(narrow.url) as two, wire_to(narrow.url, source="127.0.0.2") as other:
        for wire in (one, two):
            wire.send(*POST, "Expect: 100-continue", "Content-Length: 1000000")
            wire.read_until(b"100 Continue")
        refused = requests.get(f"{narrow.url}/apiv1/models", timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert int(refused.headers["Retry-After"]) > 0
        assert requests.get(f"{narrow.url}/healthz", timeout=60).ok
        other.send("GET /apiv1/models HTTP/1.1", "Host: x")
        assert other.read_until(b"\r\n").startswith(b"HTTP/1.1 200")


def test_the_address_with_the_most_connections_loses_them_not_the_others(narrow):
    before = dropped(narrow.url, "too_many_connections")
    with ExitStack() as wires:
        one = wires.enter_context(wire_to(narrow.url, source="127.0.0.3"))
        one.send("GET /healthz HTTP/1.1", "Host: x")
        one.read_until(b"ok")
        for _ in range(40):
            wires.enter_context(wire_to(narrow.url, source="127.0.0.4")).socket.sendall(b"GET")
        wait_until(lambda: dropped(narrow.url, "too_many_connections") >= before + 20)
        one.send("GET /healthz HTTP/1.1", "Host: x")
        assert one.read_until(b"ok").startswith(b"HTTP/1.1 200")
