"""Downloads a stem to a file: resumes after a broken connection, and replaces the target once complete."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO

import requests

from msaas.client.errors import NotTheService, UnsafeName
from msaas.client.transport import CONNECTION_ERRORS, Transport, reason_of, refuse_problem
from msaas.formats import STEMS_FILE
from msaas.song_names import safe_name, stem_file_name

CHUNK_BYTES = 64 * 1024  # lost at most when a connection breaks
WORD = r"[A-Za-z0-9_]{1,64}"
STEM = re.compile(rf"{WORD}(?:\.{WORD})?")  # also a part of a stem: drums.kick
EXTENSION = re.compile(rf"{WORD}|{re.escape(STEMS_FILE)}")
PARTIAL, RANGE_NOT_SATISFIABLE = 206, 416

OnDownload = Callable[[int, int | None], None]


def stem_path(folder: Path, stem: str, extension: str, song: str = "") -> Path:
    """`song`: what the song is called, as the service says; it is made safe. Raises UnsafeName for a stem's name from
    the network that would leave the folder."""
    for part, form in ((stem, STEM), (extension, EXTENSION)):
        if not isinstance(part, str) or not form.fullmatch(part):
            raise UnsafeName(f"{str(part)[:80]!r} is not a valid stem name")
    return folder / stem_file_name(safe_name(song), stem, extension)


def fetch(transport: Transport, path: str, target: Path, on_progress: OnDownload | None = None) -> int:
    """Returns the bytes written. An older target is kept until the download is complete.

    Raises ServiceError, Unreachable, NotTheService, OSError; leaves no partial file.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")  # another process may download the same
    try:
        with part.open("xb") as file:
            size = _Fetch(transport, path, file, on_progress or (lambda _received, _total: None)).run()
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


class _Fetch:
    """Downloads one object, in one request or several."""

    def __init__(self, transport: Transport, path: str, file: IO[bytes], on_progress: OnDownload) -> None:
        self._transport, self._path, self._file, self._on_progress = transport, path, file, on_progress
        self._etag = ""  # of the partial download
        self._received = 0
        self._max_received = 0

    def run(self) -> int:
        """Downloads until complete. Retries count from the last progress: a long file may lose its connection often."""
        pauses = self._transport.pauses()
        while True:
            try:
                with self._request() as response:
                    self._write(response)
                return self._received
            except CONNECTION_ERRORS as error:
                if self._received > self._max_received:
                    self._max_received, pauses = self._received, self._transport.pauses()
                if (pause := next(pauses)) is None:
                    raise self._transport.unreachable(error) from error
                self._transport.pause(pause, f"the download was interrupted: {reason_of(error)}")
            except requests.RequestException as error:  # for example an encoding that was not requested
                raise NotTheService(f"{self._transport.url}{self._path} cannot be read: {error}") from error

    def _request(self) -> requests.Response:
        headers = {"Accept-Encoding": "identity"}
        if self._received and self._etag:  # If-Range: sends the whole object if it has changed
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._etag}
        response = self._transport.call("GET", self._path, headers=headers, stream=True)
        if response.status_code == RANGE_NOT_SATISFIABLE and "Range" in headers:
            response.close()
            self._etag = ""
            return self._request()
        return response

    def _write(self, response: requests.Response) -> None:
        refuse_problem(response)
        if response.status_code != PARTIAL or not self._resumes(response):
            self._received = 0
        self._etag = response.headers.get("ETag", "")
        self._file.seek(self._received)
        self._file.truncate()
        total = _total(response, self._received)
        for chunk in response.iter_content(CHUNK_BYTES):
            self._file.write(chunk)
            self._received += len(chunk)
            self._on_progress(self._received, total)

    def _resumes(self, response: requests.Response) -> bool:
        """Raises ConnectionError, to restart from the beginning, if the range is not the requested one."""
        if response.headers.get("Content-Range", "").startswith(f"bytes {self._received}-"):
            return True
        self._etag = ""
        raise requests.ConnectionError("the answer has another range than requested")


def _total(response: requests.Response, have: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None
