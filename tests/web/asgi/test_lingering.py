"""Which refused clients may send on for a moment after their answer. No server: the parts are stood in for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from msaas.web.asgi import request as requests_module
from msaas.web.asgi.exchange import Answer
from msaas.web.asgi.request import Request


class RecordingSender:
    """Notes what it is asked for."""

    calls: list[str]

    def __init__(self, *_: object) -> None:
        type(self).calls = []

    async def start(self, _answer, *, closing):
        self.calls.append("closing" if closing else "keeping")

    async def write(self, _chunk):
        self.calls.append("write")

    async def linger(self, _seconds):
        self.calls.append("linger")

    async def end(self):
        self.calls.append("end")


def send_answer(monkeypatch, status, *, body_is_unread):
    monkeypatch.setattr(requests_module, "Sender", RecordingSender)
    server = SimpleNamespace(caller_of=lambda _: "a", new_pace=lambda: None, app=None, receivers={})
    cycle = SimpleNamespace(more_body=body_is_unread)
    request = Request(server, SimpleNamespace(drop=lambda _: None), cycle, {"CONTENT_LENGTH": "200000000"})
    asyncio.run(request._send(Answer(status, [], b"{}")))
    return RecordingSender.calls


@pytest.mark.parametrize("status", [401, 408])
def test_a_caller_without_a_key_and_one_that_is_too_slow_hold_no_connection(monkeypatch, status):
    assert send_answer(monkeypatch, status, body_is_unread=True) == ["closing", "write", "end"]


@pytest.mark.parametrize("status", [413, 415, 422, 429])
def test_another_client_in_mid_upload_gets_to_see_its_answer(monkeypatch, status):
    assert send_answer(monkeypatch, status, body_is_unread=True) == ["closing", "write", "linger", "end"]


def test_a_connection_whose_body_was_read_is_kept(monkeypatch):
    assert send_answer(monkeypatch, 401, body_is_unread=False) == ["keeping", "write", "end"]
