"""A request's body, read once and counted: notices a client that went away and a body past its limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Request, Response
from werkzeug.exceptions import ClientDisconnected

from msaas.errors import BadRequest, UploadTooLarge

CHUNK_BYTES = 256 * 1024
# A client that sends or takes nothing for this long is gone: its thread is needed.
IDLE_SECONDS = 120
LINGER_SECONDS = 5


class Body:
    """File-like as far as werkzeug's form parser needs it.

    `limit_bytes` counts what is on the wire; `song_limit_bytes`, which it is made from, is for people.
    """

    def __init__(self, request: Request, limit_bytes: int, song_limit_bytes: int) -> None:
        self.limit_bytes, self.song_limit_bytes = limit_bytes, song_limit_bytes
        self.declared = request.content_length
        self.received = 0
        if self.declared is not None and self.declared > limit_bytes:
            raise self._too_large(f"{self.declared}")
        self._stream = request.stream

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Empty at the end. Raises BadRequest where the client went away, UploadTooLarge past the limit."""
        data = self._next(size)
        self.received += len(data)
        if self.received > self.limit_bytes:
            raise self._too_large(f"more than {self.limit_bytes}")
        # gunicorn ends the stream early, without a word, where the client goes away
        if not data and self.declared is not None and self.received < self.declared:
            raise self._cut_short()
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def _next(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except ClientDisconnected as error:
            raise self._cut_short() from error
        except OSError as error:  # a reset, a time-out, or a chunked body without its end
            raise self._cut_short() from error
        except Exception as error:  # the server's own errors for chunks that are none
            raise BadRequest(f"the body's chunks cannot be read: {error}", code="bad_chunks") from error

    def _too_large(self, size: str) -> UploadTooLarge:
        return UploadTooLarge(f"the body has {size} bytes; the limit for a song is {self.song_limit_bytes}")

    def _cut_short(self) -> BadRequest:
        declared = "an unknown number of" if self.declared is None else self.declared
        return BadRequest(f"the body ends after {self.received} of {declared} bytes", code="upload_cut_short")


def set_idle_timeout(request: Request) -> None:
    """gunicorn's threads read and write with no time-out of their own."""
    if connection := request.environ.get("gunicorn.socket"):
        connection.settimeout(IDLE_SECONDS)


def linger(request: Request, response: Response) -> Response:
    """Takes in, for a moment, what the client is still sending once the answer is out.

    A server that closes in mid-upload resets the connection, and most clients then never see why (RFC 9112, 9.6).
    """
    if request.content_length or "chunked" in request.headers.get("Transfer-Encoding", ""):
        response.call_on_close(partial(_discard, request.environ))  # the request's own context is over by then
    return response


def _discard(environ: dict[str, Any]) -> None:
    stream, connection = environ["wsgi.input"], environ.get("gunicorn.socket")
    if connection is None:
        return
    deadline = time.monotonic() + LINGER_SECONDS
    try:
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not stream.read(CHUNK_BYTES):
                return
    except Exception:  # noqa: S110 - the answer is out; whatever the client does now changes nothing
        pass
