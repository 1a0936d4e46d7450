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

    async def linger(self, seconds):
        self.calls.append(f"linger {seconds:g}")

    async def end(self):
        self.calls.append("end")


def send_answer(monkeypatch, status, *, body_is_unread):
    monkeypatch.setattr(requests_module, "Sender", RecordingSender)
    server = SimpleNamespace(caller_of=lambda _: "a", new_pace=lambda: None, app=None, receivers={})
    cycle = SimpleNamespace(more_body=body_is_unread)
    request = Request(server, SimpleNamespace(drop=lambda _: None), cycle, {"CONTENT_LENGTH": "200000000"})
    asyncio.run(request._send(Answer(status, [], b"{}")))
    return RecordingSender.calls


@pytest.mark.parametrize(("status", "seconds"), [(401, 1), (408, 0), (413, 5), (415, 5), (422, 5), (429, 5)])
def test_a_client_in_mid_upload_gets_to_see_its_answer(monkeypatch, status, seconds):
    """One without a key occupies its connection as long as one whose request cannot be read, a slow one not at all."""
    assert send_answer(monkeypatch, status, body_is_unread=True) == ["closing", "write", f"linger {seconds}", "end"]


def test_a_connection_whose_body_was_read_is_kept(monkeypatch):
    assert send_answer(monkeypatch, 401, body_is_unread=False) == ["keeping", "write", "end"]
