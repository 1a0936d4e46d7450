"""Which refused clients may send on for a moment after their answer. No server: the parts are stood in for."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace

import pytest

from msaas.web.asgi import request as requests_module
from msaas.web.asgi.exchange import Answer
from msaas.web.asgi.request import Request
from msaas.web.asgi.sender import Sender


class RecordingSender:
    """Notes what it is asked for."""

    calls: list[str]

    def __init__(self, *_: object) -> None:
        type(self).calls = []

    async def start(self, _answer, *, closing):
        self.calls.append("closing" if closing else "keeping")

    async def write(self, _chunk):
        self.calls.append("write")

    async def linger(self, seconds, max_bytes=math.inf):
        self.calls.append(f"linger {seconds:g} {max_bytes:g}")

    async def end(self):
        self.calls.append("end")


def send_answer(monkeypatch, status, *, body_is_unread):
    monkeypatch.setattr(requests_module, "Sender", RecordingSender)
    callers = SimpleNamespace(leave=lambda *_: RecordingSender.calls.append("leave"))
    server = SimpleNamespace(caller_of=lambda _: "a", new_pace=lambda: None, app=None, receivers={}, callers=callers)
    cycle = SimpleNamespace(more_body=body_is_unread)
    request = Request(server, SimpleNamespace(drop=lambda _: None), cycle, {"CONTENT_LENGTH": "200000000"})
    asyncio.run(request._send(Answer(status, [], b"{}")))
    return RecordingSender.calls


@pytest.mark.parametrize("status", [413, 415, 422, 429])
def test_a_client_in_mid_upload_gets_to_see_its_answer(monkeypatch, status):
    assert send_answer(monkeypatch, status, body_is_unread=True) == ["closing", "write", "linger 5 inf", "end"]


def test_one_without_a_key_gets_less_and_takes_no_place_from_its_neighbours(monkeypatch):
    calls = send_answer(monkeypatch, 401, body_is_unread=True)
    assert calls == ["closing", "write", "leave", "linger 1 2.5e+07", "end"]


def test_one_that_is_too_slow_holds_no_connection(monkeypatch):
    assert send_answer(monkeypatch, 408, body_is_unread=True) == ["closing", "write", "end"]


def test_lingering_ends_after_so_many_bytes():
    received = []

    async def receive():
        received.append(1)
        return {"type": "http.request", "body": bytes(1000), "more_body": True}

    sender = Sender(SimpleNamespace(closed=False), SimpleNamespace(more_body=True, receive=receive), None)
    asyncio.run(sender.linger(60, 10_000))
    assert len(received) == 10


def test_a_connection_whose_body_was_read_is_kept(monkeypatch):
    assert send_answer(monkeypatch, 401, body_is_unread=False) == ["keeping", "write", "end"]
