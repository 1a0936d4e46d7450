"""HTTP/1.1 to the letter where it matters: framing, limits before the body, halves of connections, old clients."""

from __future__ import annotations

import http.client
import json
import re
import socket

import pytest
import requests

from msaas.web.asgi.environ import declared_bytes, environ_of
from tests.support.api import URL, song_bytes
from tests.support.clients.wire import POST, wire_to

from .conftest import problem_of

pytestmark = pytest.mark.usefixtures("queue", "storage")


# --- what comes before the body


@pytest.mark.parametrize("length", [4096, 6000])
def test_long_addresses_are_read(patient, length):
    answer = requests.get(f"{patient.url}/healthz?x={'a' * length}", timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        ((f"GET /healthz?x={'a' * 9000} HTTP/1.1", "Host: x"), 414, "uri_too_long"),
        ((f"GET /{'a' * 900_000} HTTP/1.1", "Host: x"), 414, "uri_too_long"),
        (("GET / HTTP/1.1", f"X: {'a' * 40_000}"), 431, "headers_too_large"),
        (("GET / HTTP/1.1", *(f"X-{n}: a" for n in range(200))), 431, "headers_too_large"),
        (("GET / HTTP/1.1", *(f"X-{n}: {'a' * 8000}" for n in range(95))), 431, "headers_too_large"),
        (("nonsense",), 400, "bad_request"),
        (("GET / HTTP/7.3",), 400, "bad_request"),
    ],
    ids=["address", "endless address", "one header", "many headers", "large headers", "nonsense", "version"],
)
def test_what_is_too_much_is_refused_with_a_problem_document(patient, lines, status, code):
    with wire_to(patient.url) as wire:
        wire.send(*lines)
        said = problem_of(wire.read_all())
    assert (said["status"], said["code"]) == (status, code)


# --- framing


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: 3, 4",),
        ("Content-Length: +3",),
        ("Content-Length: -3",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    ],
    ids=str,
)
def test_a_body_whose_length_two_servers_might_read_differently_is_refused(patient, headers):
    with wire_to(patient.url) as wire:
        wire.send(*POST, *headers, body=b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = wire.read_all()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.lower().count(b"\r\nserver:") == 1


@pytest.mark.parametrize(
    "chunk", [b"0x1\r\na\r\n", b"1\na\n0\n\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"1\r\nab\r\n", b" \r\n"]
)
def test_bad_chunks_are_refused(patient, chunk):
    with wire_to(patient.url) as wire:
        wire.send(*POST, "Transfer-Encoding: chunked", body=chunk)
        said = problem_of(wire.read_all())
    assert (said["status"], said["code"]) == (400, "bad_chunks")


def test_a_stream_of_one_byte_chunks_is_refused(patient):
    with wire_to(patient.url) as wire:
        wire.send(*POST, "Transfer-Encoding: chunked")
        wire.socket.settimeout(60)
        answer = b""
        try:
            for _ in range(1000):
                wire.socket.sendall(b"1\r\nx\r\n" * 1000)
        except OSError:  # it has hung up
            pass
        answer = wire.read_all()
    assert answer == b"" or problem_of(answer)["code"] == "bad_chunks"


def test_a_few_small_chunks_are_a_body_like_any_other(patient):
    song = song_bytes(0.05, hertz=530)
    answer = requests.post(patient.url + URL, data=(song[n : n + 1] for n in range(len(song))), timeout=60)
    assert answer.status_code == 202


# --- one connection, several requests


def test_requests_that_came_ahead_are_answered_in_order(patient):
    with wire_to(patient.url) as wire:
        paths = ("/apiv1/models", "/healthz", "/apiv1/nothing", "/healthz")
        wire.socket.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))
        wire.socket.shutdown(socket.SHUT_WR)
        text = wire.read_all()
    assert re.findall(rb"HTTP/1.1 (\d+) ", text) == [b"200", b"200", b"404", b"200"]


def test_a_thousand_requests_ahead_end_the_connection(patient):
    with wire_to(patient.url) as wire:
        wire.socket.sendall(b"GET /apiv1/models HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        assert wire.read_all().count(b"HTTP/1.1 200") <= 20


def test_a_connection_is_used_again_after_an_upload(patient):
    parts = patient.url.removeprefix("http://")
    connection = http.client.HTTPConnection(parts, timeout=60)
    for hertz in (540, 541):
        connection.request("POST", URL, song_bytes(hertz=hertz), {"Content-Type": "audio/wav"})
        assert json.loads(connection.getresponse().read())["state"] == "queued"
        sock = connection.sock
    assert connection.sock is sock


# --- clients that stop halfway, or ask first


def test_a_client_that_has_ended_its_side_still_gets_its_answer(patient):
    song = song_bytes(hertz=550)
    with wire_to(patient.url) as wire:
        wire.send(*POST, f"Content-Length: {len(song)}", body=song)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.read_all().startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_body_that_ends_early_is_told_of(patient, framing):
    with wire_to(patient.url) as wire:
        wire.send(*POST, framing, body=b"3e8\r\n" + bytes(1000) + b"\r\n")
        wire.socket.shutdown(socket.SHUT_WR)
        said = problem_of(wire.read_all())
    assert (said["status"], said["code"]) == (400, "upload_cut_short")


def test_a_client_that_asks_first_is_told_to_go_on(patient):
    song = song_bytes(hertz=560)
    with wire_to(patient.url) as wire:
        wire.send(*POST, "Expect: 100-continue", "Connection: close", f"Content-Length: {len(song)}")
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        wire.socket.sendall(song)
        assert wire.read_all().startswith(b"HTTP/1.1 202 ")


def test_a_client_that_asks_first_with_too_much_is_refused_unread(patient):
    with wire_to(patient.url) as wire:
        wire.send(*POST, "Expect: 100-continue", "Content-Length: 100000000000")
        answer = wire.read_until(b"upload_too_large")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_wish_for_another_protocol_is_passed_over(patient):
    song = song_bytes(hertz=580)
    upgrade = ("Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    for lines, body, status in (
        (("GET /healthz HTTP/1.1", "Host: x"), b"", b"200"),
        ((*POST, f"Content-Length: {len(song)}"), song, b"202"),
    ):
        with wire_to(patient.url) as wire:
            wire.send(*lines, *upgrade, body=body)
            assert wire.read_all().startswith(b"HTTP/1.1 " + status)


# --- HTTP/1.0 and HEAD


def test_an_old_client_gets_a_stream_without_chunks(patient, player):
    posted = requests.post(patient.url + URL, data=song_bytes(hertz=570), timeout=60).json()
    player.work()
    with wire_to(patient.url) as wire:
        wire.send(f"GET /apiv1/jobs/{posted['songhash']}/stems.zip HTTP/1.0")
        head, _, body = wire.read_all().partition(b"\r\n\r\n")
    assert b"chunked" not in head and body.startswith(b"PK") and b"PK\x05\x06" in body[-30:]


def test_head_has_the_headers_and_no_body(patient):
    with wire_to(patient.url) as wire:
        wire.send("HEAD /healthz HTTP/1.1", "Host: x", "Connection: close")
        head, _, body = wire.read_all().partition(b"\r\n\r\n")
    assert b"content-length: 16" in head.lower() and not body


# --- who calls


def scope(*headers: tuple[bytes, bytes]) -> dict:
    return {
        "method": "GET",
        "raw_path": b"/a%20b",
        "query_string": b"c=%41",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 5000),
        "client": ("10.0.0.9", 1),
        "headers": list(headers),
    }


def test_a_header_that_only_looks_like_a_proxys_is_dropped():
    environ = environ_of(scope((b"x_forwarded_for", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8")), 1)
    assert (environ["REMOTE_ADDR"], environ["HTTP_X_FORWARDED_FOR"]) == ("5.6.7.8", "5.6.7.8")


def test_only_as_many_proxies_as_are_trusted_are_believed():
    forwarded = (b"x-forwarded-for", b"9.9.9.9, 5.6.7.8")
    assert environ_of(scope(forwarded), 0)["REMOTE_ADDR"] == "10.0.0.9"
    assert environ_of(scope(forwarded), 1)["REMOTE_ADDR"] == "5.6.7.8"


def test_an_environ_reads_as_wsgi_has_it():
    environ = environ_of(scope((b"a", b"1"), (b"a", b"2"), (b"cookie", b"x"), (b"cookie", b"y")), 0)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["REQUEST_URI"]) == ("/a b", "c=%41", "/a%20b?c=%41")
    assert (environ["HTTP_A"], environ["HTTP_COOKIE"]) == ("1,2", "x; y")
    assert declared_bytes(environ) == 0
    assert declared_bytes(environ_of(scope((b"content-length", b"7")), 0)) == 7
    assert declared_bytes(environ_of(scope((b"transfer-encoding", b"chunked")), 0)) is None
