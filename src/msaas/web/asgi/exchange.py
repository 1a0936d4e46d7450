"""A request of the Flask app in steps, so that no thread waits for the body: begin, receive, answer.

A Flask request lives in context variables. They are kept here between the steps, which may run in different threads,
one after the other. The steps are those of Flask.wsgi_app and Flask.full_dispatch_request, with a pause in the middle.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from flask import Flask, Response, request
from flask.signals import request_started

from msaas.web.asgi.environ import Environ
from msaas.web.uploads.bodies import RECEIVED

T = TypeVar("T")


class Receiver(Protocol):
    """Receives a body. `write` and `end` run in a thread for disks. If `due` after a `write`, `step` runs in a thread
    for requests, before the next one."""

    @property
    def due(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def step(self) -> None: ...

    def end(self, *, cut_short: bool = False) -> None: ...

    def close(self) -> None:
        """After the answer was made, or instead of it."""


# endpoint ▸ function that returns the receiver of its body. Called within the request; raises to reject the body
# unread.
Receivers = Mapping[str, Callable[[], Receiver]]


@dataclass
class Answer:
    """`whole` is the body if it is available; otherwise `chunks` yields it, and each next() must run in a thread.

    `pause_seconds`: poll the chunks at this interval; an empty chunk means nothing new.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    whole: bytes | None = None
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    pause_seconds: float | None = None
    close: Callable[[], None] | None = None  # runs in a thread, too


class Exchange:
    """Each step blocks and must run in a thread. `close` is for requests that end without an answer."""

    def __init__(self, app: Flask, environ: Environ, receivers: Receivers) -> None:
        self._app, self.environ, self._receivers = app, environ, receivers
        self._variables = contextvars.copy_context()
        self._context: Any = None
        self.received: Any = None

    def begin(self) -> Answer | None:
        """The answer if the request needs no body or is rejected; None if `received` must be filled first."""
        answer = self._variables.run(self._begin)
        if answer is not None:
            self.close()
        return answer

    def answer(self) -> Answer:
        """Call after the body has been received."""
        self.environ[RECEIVED] = self.received
        return self._final_step(self._app.dispatch_request)

    def fail(self, error: Exception) -> Answer:
        """The answer for a body that could not be received."""
        return self._final_step(partial(_raise, error))

    @property
    def is_open(self) -> bool:
        return self._context is not None

    def close(self) -> None:
        if self._context is not None:
            self._variables.run(self._pop)
        if self.received is not None:
            self.received.close()
            self.received = None

    def _final_step(self, step: Callable[[], Any]) -> Answer:
        try:
            return self._variables.run(self._answer, step)
        finally:
            self.close()

    # --- within the request's context

    def _begin(self) -> Answer | None:
        context = self._app.request_context(self.environ)
        context.push()
        self._context = context
        try:
            result = self._preprocess()
        except Exception as error:
            return self._answer(partial(_raise, error))
        return None if self.received is not None else self._answer(lambda: result)

    def _preprocess(self) -> Any:
        """The view's result if no body is needed; None if the body must be received."""
        request_started.send(self._app, _async_wrapper=self._app.ensure_sync)
        refused = self._app.preprocess_request()
        if refused is not None:
            return refused
        receive = self._receivers.get(request.endpoint or "")
        if receive is None or request.routing_exception is not None:
            return self._app.dispatch_request()
        self.received = receive()
        return None

    def _answer(self, step: Callable[[], Any]) -> Answer:
        try:
            response = self._app.finalize_request(self._result(step))
        except Exception as error:
            response = self._app.handle_exception(error)
        return self._to_answer(response)

    def _result(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:
            return self._app.handle_user_exception(error)

    def _to_answer(self, response: Response) -> Answer:
        started: list[Any] = []
        pause = getattr(response, "pause_seconds", None)
        whole = b"".join(response.iter_encoded()) if response.is_sequence else None

        def start(status: str, headers: Any, _error: Any = None) -> Callable[[bytes], None]:
            started.extend((status, headers))
            return _ignore

        chunks = response(self.environ, start)
        status, headers = started
        answer = Answer(int(status.split(" ", 1)[0]), _encoded(headers))
        if self.environ["REQUEST_METHOD"] == "HEAD" or answer.status in (204, 304):
            answer.whole = b""
        elif whole is not None:
            answer.whole = whole
        else:
            answer.chunks, answer.pause_seconds, answer.close = iter(chunks), pause, getattr(chunks, "close", None)
            return answer
        response.close()
        return answer

    def _pop(self) -> None:
        context, self._context = self._context, None
        context.pop()


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _raise(error: Exception) -> Any:
    raise error


def _ignore(_: bytes) -> None:
    """WSGI's write(), which is never called."""
