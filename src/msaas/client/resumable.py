"""Sends a song in parts (tus 1.0). After a broken connection, or a restart of the service or of this program, it goes
on where the service says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TypeVar

import requests

from msaas.client.errors import NotTheService, ServiceError
from msaas.client.remembered import RememberedUploads
from msaas.client.transport import CONNECTION_ERRORS, Transport, is_temporary, refuse_problem, retry_after
from msaas.client.upload import OnUpload, Song

PATH = "/apiv1/uploads"
VERSION = {"Tus-Resumable": "1.0.0"}
# Of one request: a proxy that keeps bodies until they are complete loses no more with a broken connection.
PART_BYTES = 8 << 20
LOCKED = 423
LOST = ("upload_unknown", "object_missing")
Accepted = TypeVar("Accepted")
_LOCATION = re.compile(rf"(?:https?://[^/]+)?.*({PATH}/[0-9A-Za-z_-]+)")


class Expired(Exception):
    """The service does not know the upload (any more)."""


class NoUploads(Exception):
    """The service has no such call."""


class ResumableUpload:
    """`remembered`: the uploads that earlier runs of this program have begun."""

    def __init__(
        self, transport: Transport, song: Song, on_upload: OnUpload | None, remembered: RememberedUploads
    ) -> None:
        self._transport, self._song, self._remembered = transport, song, remembered
        self._on_upload: OnUpload = on_upload or (lambda _sent, _size: None)
        self._key = remembered.key(transport.url, song) if remembered.folder else ""

    def submit(self, post: Callable[[str], Accepted]) -> Accepted:
        """Sends all bytes, then returns what `post` returns for the upload's ID. Raises what they raise."""
        try:
            accepted = post(self.send())
        except ServiceError as error:
            if error.code not in LOST:
                raise
            self.forget()  # one from an earlier run, which the service no longer has whole
            accepted = post(self.send())
        self.forget()
        return accepted

    def send(self) -> str:
        """Returns the upload's ID once all bytes are stored. Raises NoUploads, ServiceError, Unreachable,
        NotTheService."""
        path = self._remembered.path(self._key)
        if path:
            try:
                return self._send_to(path)
            except Expired:
                self.forget()
        path = self._create()
        self._remembered.remember(self._key, path)
        try:
            return self._send_to(path)
        except Expired as error:
            raise ServiceError("upload_unknown", "the service has lost the upload", HTTPStatus.NOT_FOUND) from error

    def forget(self) -> None:
        """The upload has become a job, or is lost."""
        self._remembered.forget(self._key)

    def _create(self) -> str:
        headers = VERSION | {"Upload-Length": str(self._song.size)}
        with self._transport.call("POST", PATH, headers=headers) as response:
            if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                raise NoUploads
            refuse_problem(response)
            found = _LOCATION.fullmatch(response.headers.get("Location", ""))
        if found is None:
            raise NotTheService(f"{response.url} began no upload")
        return found[1]

    def _send_to(self, path: str) -> str:
        offset, pauses = self._offset(path), self._transport.pauses()
        while offset < self._song.size:
            reached, pause_seconds = self._part(path, offset, pauses)
            if reached > offset:
                pauses = self._transport.pauses()  # progress: all attempts are left again
            elif pause_seconds is not None:
                self._transport.pause(pause_seconds, "the upload was interrupted")
                reached = self._offset(path)
            offset = reached
        self._on_upload(offset, self._song.size)
        return path.rpartition("/")[2]

    def _part(self, path: str, offset: int, pauses: Iterator[float | None]) -> tuple[int, float | None]:
        """Sends one part: the new offset, or the old one and the seconds to wait before the offset is asked for."""
        try:
            response = self._patch(path, offset)
        except CONNECTION_ERRORS as error:
            pause = next(pauses)
            if pause is None:
                raise self._transport.unreachable(error) from error
            return offset, pause
        with response:
            if response.status_code == HTTPStatus.NO_CONTENT:
                return _offset_of(response), None
            return offset, self._pause_after(response, next(pauses))

    def _patch(self, path: str, offset: int) -> requests.Response:
        length = min(PART_BYTES, self._song.size - offset)
        headers = VERSION | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        body = self._song.part(offset, length, self._on_upload)
        return self._transport.once("PATCH", path, data=body, headers=headers)

    def _pause_after(self, response: requests.Response, pause: float | None) -> float:
        """Raises Expired, and ServiceError for a refusal that waiting does not help."""
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise Expired
        again = response.status_code in (HTTPStatus.CONFLICT, LOCKED) or is_temporary(response)
        if pause is None or not again:
            refuse_problem(response)
            raise NotTheService(f"{response.url} answered {response.status_code} to a part of an upload")
        return retry_after(response) or pause

    def _offset(self, path: str) -> int:
        with self._transport.call("HEAD", path, headers=VERSION) as response:
            if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise Expired
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                message = f"{response.url} answered {response.status_code} {response.reason}"
                raise ServiceError("unavailable", message, response.status_code)
            offset = _offset_of(response)
            if response.headers.get("Upload-Length") != str(self._song.size) or offset > self._song.size:
                raise Expired  # another file's
            return offset


def _offset_of(response: requests.Response) -> int:
    text = response.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdigit()):
        raise NotTheService(f"{response.url} answered {response.status_code} without an Upload-Offset")
    return int(text)
