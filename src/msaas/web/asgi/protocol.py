"""The connection protocol: uvicorn's HTTP/1.1, with deadlines, limits on headers, and errors as problem details.

Runs on the event loop; never blocks. uvicorn limits neither the time of a request's headers nor, with httptools, their
size (https://github.com/Kludex/uvicorn/issues/157); its protocol class can be replaced.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.events import TimerHandle
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from msaas.web.asgi.connections import Connections
from msaas.web.asgi.limits import (
    LINGER_AFTER_ERROR_SECONDS,
    LINGER_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PIPELINED,
    MAX_TARGET_BYTES,
    Limits,
)
from msaas.web.asgi.pace import Pace
from msaas.web.http.problems import MEDIA_TYPE, problem_text

EXTENSION = "msaas.connection"  # where the scope has the connection
# A chunk of one byte takes six on the wire. Real clients send kilobytes per chunk; many tiny chunks in a row are
# rejected.
CHUNK_OVERHEAD, CHUNK_OVERHEAD_BYTES = 3, 64_000


READ_BYTES, UNSENT_BYTES = 64 * 1024, 128 * 1024
TCP_NOTSENT_LOWAT = 25  # linux/tcp.h; in the socket module from Python 3.12 on


class HeadRefused(Exception):
    """Raised within the parser's callbacks: the request line or headers are too large."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class TooSlow(Exception):
    """The client was slower than its pace allows."""


class HttpProtocol(HttpToolsProtocol):
    """`busy`, `address` and `drop` are for the register of connections, the rest for the server."""

    def __init__(self, *args: Any, limits: Limits, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits, self.register = limits, connections
        self.address = ""
        self.cut_short = False  # the client closed its side before the body was complete
        self.half_closed = False  # … after it
        self._in_head, self._head_bytes = True, 0
        self._head_timer: TimerHandle | None = None
        self._pieces: list[bytes] = []
        self._wire_bytes = self._body_bytes = 0
        self._linger_bytes: int | None = None
        self._head_known = False  # the parser reads a head that was read before
        self._ignores_input = False  # further input on this connection is ignored

    @property
    def busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        bound_buffers(transport)
        self._arm_head_timer()
        self.register.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm_head_timer()
        self.register.remove(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client may close its side after the request and still read the answer. True keeps ours open."""
        if self._linger_bytes is not None or not self.busy:
            return False
        self.cycle.keep_alive = False
        if self.cycle.more_body:
            self.cut_short, self.cycle.more_body = True, False
        self.half_closed = True
        self.cycle.message_event.set()
        return True

    def drop(self, reason: str) -> None:
        """Closes at once; unsent data is lost."""
        self.register.note_dropped(reason)
        if not self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()

    # --- input

    def data_received(self, data: bytes) -> None:
        if self._linger_bytes is not None:
            self._linger(len(data))
            return
        if self._ignores_input:
            return
        if not self.busy and self._head_timer is None:
            self._arm_head_timer()
        self._in_head = self._in_head or not self.busy
        self._wire_bytes += len(data)
        if self._in_head:
            self._head_bytes += len(data)
        self._feed(data)
        self._flush_body()
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_head_too_large())

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._pieces = []
            if self.busy and not self.cycle.more_body and not isinstance(error.__context__, HeadRefused):
                # data after a complete request does not change its answer
                self._ignores_input, self.cycle.keep_alive = True, False
                return
            self._refuse(self._parser_error(error))

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Ignores an Upgrade header, which leaves the request valid (RFC 9110, 7.8).

        The parser treats what follows the headers as the other protocol, so a new parser continues from there. Java's
        client requests HTTP/2 this way with its first POST.
        """
        framing = [header for header in self.headers if header[0] in (b"content-length", b"transfer-encoding")]
        self.cycle.more_body = True
        self.cycle.message_event.clear()
        self.parser = httptools.HttpRequestParser(self)
        self._head_known = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % header for header in framing) + b"\r\n")
        self._head_known = False
        self._feed(rest)

    def on_message_begin(self) -> None:
        if self._head_known:
            return
        super().on_message_begin()
        self._in_head = True
        self.scope["extensions"] = {EXTENSION: {"connection": self}}

    def on_url(self, url: bytes) -> None:
        if self._head_known:
            return
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            raise HeadRefused(414, "uri_too_long", f"the URL exceeds {MAX_TARGET_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_known:
            return
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            raise HeadRefused(431, "headers_too_large", f"the request has more than {MAX_HEADERS} headers")
        if sum(len(key) + len(text) for key, text in self.headers) > MAX_HEAD_BYTES:
            raise _head_too_large()

    def on_headers_complete(self) -> None:
        if self._head_known:
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise HeadRefused(400, "bad_request", f"more than {MAX_PIPELINED} pipelined requests")
        self._disarm_head_timer()
        self._in_head, self._head_bytes = False, 0
        self._wire_bytes = self._body_bytes = 0
        super().on_headers_complete()
        self.scope["extensions"][EXTENSION]["cycle"] = self.cycle

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)  # 256 KiB of input can contain forty thousand pieces

    def on_message_complete(self) -> None:
        self._flush_body()
        super().on_message_complete()

    def _flush_body(self) -> None:
        if not self._pieces:
            return
        body, self._pieces = b"".join(self._pieces), []
        self._body_bytes += len(body)
        super().on_body(body)
        spent = self._wire_bytes - CHUNK_OVERHEAD * self._body_bytes
        if spent > CHUNK_OVERHEAD_BYTES:
            self._refuse(
                HeadRefused(400, "bad_chunks", "the body's chunks are only a few bytes each; send larger ones")
            )

    # --- deadlines

    def _arm_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)

    def _disarm_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        self.register.note_dropped("headers_too_late")
        if not self._head_bytes:
            self.transport.abort()  # it sent nothing, and gets no answer
            return
        seconds = self.limits.header_seconds
        self._refuse(HeadRefused(408, "headers_too_late", f"the headers took more than {seconds:g} seconds"))

    async def drained(self, pace: Pace) -> None:
        """Returns once the kernel has accepted all written data. Raises TooSlow if the client does not read it,
        ConnectionResetError if it has disconnected."""
        if self.flow.write_paused and not self.closed:
            await self._drain(pace)
        if self.closed:
            raise ConnectionResetError

    async def _drain(self, pace: Pace) -> None:
        before = self.transport.get_write_buffer_size()
        pace.wait_begins(self.loop.time())
        try:
            async with asyncio.timeout(pace.left_seconds(self.loop.time())):
                await self.flow.drain()
        except TimeoutError:
            raise TooSlow from None
        pace.wait_ends(self.loop.time(), before)

    @property
    def closed(self) -> bool:
        return self.parser is None or self.transport.is_closing()

    # --- rejecting

    def send_400_response(self, msg: str) -> None:
        self._refuse(HeadRefused(400, "bad_request", msg))

    def _parser_error(self, error: httptools.HttpParserError) -> HeadRefused:
        if isinstance(error.__context__, HeadRefused):  # raised by one of our callbacks
            return error.__context__
        if self.busy and not self._in_head:
            return HeadRefused(400, "bad_chunks", f"the body's chunks cannot be read: {error}")
        return HeadRefused(400, "bad_request", f"not an HTTP/1.1 request: {error}")

    def _refuse(self, error: HeadRefused) -> None:
        """Answers, unless an answer has started, then reads on briefly so that the client can receive it."""
        if self._linger_bytes is not None or self.transport.is_closing():
            return
        self._disarm_head_timer()
        self._unset_keepalive_if_required()
        started = self.busy and self.cycle.response_started
        if self.busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if started or self.pipeline:
            self.transport.abort()
            return
        self.flow.resume_reading()
        self.transport.write(_problem(error, self.server_state.default_headers))
        self._linger_bytes = 0
        self.loop.call_later(LINGER_AFTER_ERROR_SECONDS, self.transport.abort)
        with suppress(OSError):
            self.transport.write_eof()

    def _linger(self, received: int) -> None:
        assert self._linger_bytes is not None  # noqa: S101 - for mypy; checked in data_received
        self._linger_bytes += received
        if self._linger_bytes > LINGER_BYTES:
            self.transport.abort()


def bound_buffers(transport: asyncio.Transport) -> None:
    """Limits a connection's memory, here and in the kernel, and what one turn of the event loop reads of it."""
    transport.set_write_buffer_limits(high=0)  # so that `drained` means that the kernel has everything
    if hasattr(transport, "max_size"):
        transport.max_size = READ_BYTES
    sock = transport.get_extra_info("socket")
    if sys.platform == "linux" and sock is not None:
        # without it, megabytes wait in the kernel for a client that reads nothing
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def connection_of(scope: Any) -> tuple[HttpProtocol, Any]:
    """The connection of a request, and uvicorn's state of the request."""
    found = scope["extensions"][EXTENSION]
    return found["connection"], found["cycle"]


def _head_too_large() -> HeadRefused:
    return HeadRefused(431, "headers_too_large", f"the headers have more than {MAX_HEAD_BYTES} bytes")


def _problem(error: HeadRefused, headers: list[tuple[bytes, bytes]]) -> bytes:
    body = problem_text(error.status, error.code, error.detail).encode()
    head = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
    head += [name + b": " + value for name, value in headers]
    head += [f"content-type: {MEDIA_TYPE}".encode(), f"content-length: {len(body)}".encode(), b"connection: close"]
    return b"\r\n".join([*head, b"", body])
