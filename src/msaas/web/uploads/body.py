"""Writes a request body to disk and checks its size: detects bodies above the limit and truncated ones."""

from __future__ import annotations

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from msaas.errors import BadRequest, UploadTooLarge
from msaas.web.uploads.spool import Scratch

CHUNK_BYTES = 256 * 1024


class Body:
    """Written in pieces, then read from its `scratch`.

    `limit_bytes` applies to the body as sent; `song_limit_bytes`, which it is derived from, is for messages. Raises
    UploadTooLarge at once if the declared length is above the limit.
    """

    def __init__(self, declared: int | None, limit_bytes: int, song_limit_bytes: int, *, what: str = "a song") -> None:
        self.what = what
        self.declared, self.limit_bytes, self.song_limit_bytes = declared, limit_bytes, song_limit_bytes
        self.received = 0
        self._scratch: Scratch | None = None
        self.due = False  # nothing has to be done before the end
        if declared is not None and declared > limit_bytes:
            raise self._too_large(f"{declared}")

    @property
    def scratch(self) -> Scratch:
        assert self._scratch is not None  # noqa: S101 - for mypy; put_into comes first
        return self._scratch

    def put_into(self, scratch: Scratch) -> Body:
        self._scratch = scratch
        return self

    def write(self, data: bytes) -> None:
        """Raises UploadTooLarge above the limit, ScratchFull if the disk is full."""
        self.received += len(data)
        if self.received > self.limit_bytes:
            raise self._too_large(f"more than {self.limit_bytes}")
        self.scratch.write(data)

    def step(self) -> None:
        """What has to be done while the body arrives: see Receiver."""

    def end(self, *, cut_short: bool = False) -> None:
        """Ends the body. Raises BadRequest if it is incomplete."""
        if cut_short or (self.declared is not None and self.received < self.declared):
            raise self._cut_short()
        self.scratch.seek(0)

    def close(self) -> None:
        if self._scratch is not None:
            self._scratch.close()

    def read_from(self, request: Request) -> None:
        """Reads the whole body, waiting for the client: for servers that do not receive bodies themselves, and for
        tests."""
        while data := self._next(request):
            self.write(data)
        self.end()

    def _next(self, request: Request) -> bytes:
        try:
            return request.stream.read(CHUNK_BYTES)
        except (ClientDisconnected, OSError) as error:
            raise self._cut_short() from error

    def _too_large(self, size: str) -> UploadTooLarge:
        return UploadTooLarge(f"the body has {size} bytes; the limit for {self.what} is {self.song_limit_bytes}")

    def _cut_short(self) -> BadRequest:
        declared = "an unknown number of" if self.declared is None else self.declared
        return BadRequest(f"the body ends after {self.received} of {declared} bytes", code="upload_cut_short")
