"""A stem into a file: goes on where a broken connection stopped, and puts the file in place once it is whole."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

import requests

from msaas.client.errors import NotTheService, UnsafeName
from msaas.client.transport import LOST, Transport, refuse_problem

CHUNK_BYTES = 64 * 1024  # what a broken connection loses at most
NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
PARTIAL, RANGE_NOT_SATISFIABLE = 206, 416

OnDownload = Callable[[int, int | None], None]


def stem_path(folder: Path, stem: str, extension: str) -> Path:
    """Raises UnsafeName where a name that came over the network would lead out of the folder."""
    for part in (stem, extension):
        if not isinstance(part, str) or not NAME.fullmatch(part):
            raise UnsafeName(f"{str(part)[:80]!r} is no stem's name")
    return folder / f"{stem}.{extension}"


def fetch(transport: Transport, path: str, target: Path, on_progress: OnDownload | None = None) -> int:
    """Bytes written. An older target stays as it is until its successor is whole.

    Raises ServiceError, Unreachable, NotTheService, OSError; no part of a file is left behind then.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")  # another process may fetch the same
    try:
        with part.open("xb") as file:
            size = _Fetch(transport, path, file, on_progress or (lambda _have, _total: None)).to_the_end()
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


class _Fetch:
    """The bytes of one object, in one request or in several."""

    def __init__(self, transport: Transport, path: str, file: IO[bytes], tell: OnDownload) -> None:
        self._transport, self._path, self._file, self._tell = transport, path, file, tell
        self._etag = ""  # of what the file has the beginning of
        self._have = 0
        self._furthest = 0

    def to_the_end(self) -> int:
        """Tries count from the last one that got further: a long file may lose its connection more than a few times."""
        pauses = self._transport.pauses()
        while True:
            try:
                with self._ask() as response:
                    self._take(response)
                return self._have
            except LOST as error:
                if self._have > self._furthest:
                    self._furthest, pauses = self._have, self._transport.pauses()
                if (pause := next(pauses)) is None:
                    raise self._transport.unreachable(error) from error
                self._transport.sleep(pause)
            except requests.RequestException as error:  # an encoding that was not asked for, say
                raise NotTheService(f"{self._transport.url}{self._path} cannot be read: {error}") from error

    def _ask(self) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if self._have and self._etag:  # If-Range: the whole comes where it is no longer the same object
            headers |= {"Range": f"bytes={self._have}-", "If-Range": self._etag}
        response = self._transport.call("GET", self._path, headers=headers, stream=True)
        if response.status_code == RANGE_NOT_SATISFIABLE and "Range" in headers:
            response.close()
            self._etag = ""
            return self._ask()
        return response

    def _take(self, response: requests.Response) -> None:
        refuse_problem(response)
        if response.status_code != PARTIAL or not self._goes_on(response):
            self._have = 0
        self._etag = response.headers.get("ETag", "")
        self._file.seek(self._have)
        self._file.truncate()
        total = _total(response, self._have)
        for chunk in response.iter_content(CHUNK_BYTES):
            self._file.write(chunk)
            self._have += len(chunk)
            self._tell(self._have, total)

    def _goes_on(self, response: requests.Response) -> bool:
        """Raises ConnectionError, for another try from the beginning, where another piece came than was asked for."""
        if response.headers.get("Content-Range", "").startswith(f"bytes {self._have}-"):
            return True
        self._etag = ""
        raise requests.ConnectionError("the answer holds another range than was asked for")


def _total(response: requests.Response, have: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None
