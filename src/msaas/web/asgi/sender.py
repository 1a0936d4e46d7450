"""Sends one answer at the client's pace, one chunk in memory at a time."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import Any

from msaas.web.asgi.exchange import Answer
from msaas.web.asgi.pace import Pace
from msaas.web.asgi.protocol import HttpProtocol

UNKNOWN_LENGTH = 1 << 62


class Sender:
    """Raises TooSlow or ConnectionResetError if the client does not receive the data."""

    def __init__(self, connection: HttpProtocol, cycle: Any, pace: Pace) -> None:
        self._connection, self._cycle, self.pace = connection, cycle, pace
        self._until_closed = False

    async def start(self, answer: Answer, *, closing: bool) -> None:
        headers = [*answer.headers, (b"connection", b"close")] if closing else answer.headers
        if self._cycle.scope["http_version"] == "1.0" and all(name != b"content-length" for name, _ in headers):
            # HTTP/1.0 has no chunks: the body ends when the connection closes
            self._until_closed, self._cycle.keep_alive = True, False
            self._cycle.chunked_encoding, self._cycle.expected_content_length = False, UNKNOWN_LENGTH
        await self._cycle.send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def write(self, chunk: bytes) -> None:
        await self._cycle.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._connection.drained(self.pace)

    async def end(self) -> None:
        if self._until_closed:
            self._cycle.expected_content_length = 0
        await self._cycle.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def linger(self, seconds: float, max_bytes: float = math.inf) -> None:
        """Reads briefly what the client is still sending after its answer.

        A server that closes during an upload resets the connection, and most clients then never see the reason (RFC
        9112, 9.6).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._cycle.more_body and not self._connection.closed and max_bytes > 0:
                    message = await self._cycle.receive()
                    max_bytes -= len(message.get("body", b""))
