"""One request from its headers to the end of its answer, divided between threads and the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from msaas.errors import Busy, ClientTooSlow, MSaaSError
from msaas.web.asgi.callers import Transfer
from msaas.web.asgi.context import ServerContext
from msaas.web.asgi.environ import Environ, declared_bytes
from msaas.web.asgi.exchange import Answer, Exchange
from msaas.web.asgi.limits import LINGER_SECONDS, LINGER_WITHOUT_KEY_BYTES, LINGER_WITHOUT_KEY_SECONDS
from msaas.web.asgi.protocol import HttpProtocol
from msaas.web.asgi.sender import Sender
from msaas.web.http.problems import MEDIA_TYPE, problem_text

T = TypeVar("T")


class Request:
    """Raises TooSlow or ConnectionResetError if the client ends the request early."""

    def __init__(self, context: ServerContext, connection: HttpProtocol, cycle: Any, environ: Environ) -> None:
        self.context, self.connection, self.cycle, self.environ = context, connection, cycle, environ
        self.caller = context.caller_of(environ)
        self.transfer = Transfer(context.new_pace(), partial(connection.drop, "callers_slowest"))
        self.exchange = Exchange(context.app, environ, context.receivers)

    async def serve(self) -> None:
        if (known := self.context.known_answer(self.environ)) is not None:
            await self._send(known)
        elif self.context.is_health(self.environ):
            await self._exchange()
        elif self.context.callers.enter(self.caller, self.transfer, self._now()):
            try:
                await self._exchange()
            finally:
                self.context.callers.leave(self.caller, self.transfer)
        else:
            await self._send(busy(self.context.limits.requests))

    async def _exchange(self) -> None:
        try:
            answer = await self._in_thread(self.exchange.begin)
            if answer is None:
                answer = await self._receive_and_answer()
        finally:
            if self.exchange.is_open:
                await self._in_thread(self.exchange.close)
        try:
            await self._send(answer)
        finally:
            if answer.close is not None:
                await self._in_thread(answer.close)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self.context.in_thread(self.caller, self.environ, work)

    # --- the body

    async def _receive_and_answer(self) -> Answer:
        try:
            await self._receive()
        except (MSaaSError, OSError) as error:
            if isinstance(error, ConnectionResetError):
                raise
            return await self._in_thread(partial(self.exchange.fail, error))
        return await self._in_thread(self.exchange.answer)

    async def _receive(self) -> None:
        more = True
        while more:
            data, more = await self._next_piece()
            if data:
                await self.context.on_disk(self.caller, partial(self.exchange.received.write, data))
                if self.exchange.received.due:
                    await self._in_thread(self.exchange.received.step)
        ended = partial(self.exchange.received.end, cut_short=self.connection.cut_short)
        await self.context.on_disk(self.caller, ended)

    async def _next_piece(self) -> tuple[bytes, bool]:
        pace = self.transfer.pace
        pace.wait_begins(self._now())
        try:
            async with asyncio.timeout(pace.left_seconds(self._now())):
                message = await self.cycle.receive()
        except TimeoutError:
            raise ClientTooSlow(
                f"the body arrives at less than {pace.bytes_per_second:g} bytes a second over {pace.window_seconds:g} s"
            ) from None
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        pace.wait_ends(self._now(), len(message["body"]))
        return message["body"], message["more_body"]

    # --- the answer

    async def _send(self, answer: Answer) -> None:
        unread = declared_bytes(self.environ) != 0 and self.cycle.more_body
        self.transfer.pace = pace = self.context.new_pace()
        sender = Sender(self.connection, self.cycle, pace)
        await sender.start(answer, closing=unread)
        if answer.whole is not None:
            await sender.write(answer.whole)
        elif answer.pause_seconds is not None:
            await self._send_events(answer, sender)
        else:
            while (chunk := await self._next_chunk(answer)) is not None:
                await sender.write(chunk)
        if unread:
            await self._linger(sender, answer.status)
        await sender.end()

    async def _linger(self, sender: Sender, status: int) -> None:
        """A lingering connection is an occupied one: late clients get no time, and those without a key only a little.
        These take no request's place from the others at their address, who may have a key."""
        if status == 401:
            self.context.callers.leave(self.caller, self.transfer)
            await sender.linger(LINGER_WITHOUT_KEY_SECONDS, LINGER_WITHOUT_KEY_BYTES)
        elif status != 408:
            await sender.linger(LINGER_SECONDS)

    async def _next_chunk(self, answer: Answer) -> bytes | None:
        return await self._in_thread(partial(next, answer.chunks, None))

    async def _send_events(self, answer: Answer, sender: Sender) -> None:
        """An empty chunk means a pause. Streams have their own limit and do not count as transfers."""
        self.context.callers.leave(self.caller, self.transfer)
        self.context.streams.add(self)
        try:
            while (chunk := await self._next_chunk(answer)) is not None:
                if chunk:
                    await sender.write(chunk)
                elif await self._client_left(self.context.stretched(answer.pause_seconds or 0)):
                    raise ConnectionResetError
        finally:
            self.context.streams.discard(self)

    async def _client_left(self, within_seconds: float) -> bool:
        try:
            async with asyncio.timeout(within_seconds):
                message = await self.cycle.receive()
        except TimeoutError:
            return self.connection.closed
        return message["type"] == "http.disconnect" or self.connection.half_closed

    def wake(self) -> None:
        """Ends a stream's pause, because the server stops."""
        self.cycle.message_event.set()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def busy(limit: int) -> Answer:
    """Made without a thread: a caller with too many requests must not cost more."""
    error = Busy(f"the limit is {limit} concurrent requests per caller; retry in a few seconds")
    body = problem_text(error.status, error.code, error.detail).encode()
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "retry-after": str(error.retry_after_seconds or 1),
        "cache-control": "no-store",
    }
    return Answer(error.status, [(name.encode(), value.encode()) for name, value in headers.items()], body)
