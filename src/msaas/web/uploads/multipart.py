"""Reads a multipart form in pieces: files go to the caller's writers, fields stay in memory up to a limit.

werkzeug's own parser rejects a form whose file name is not UTF-8, as curl sends for names in another encoding. Here
undecodable bytes in a part's headers are replaced: they are part of a file's name, which is for people only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from werkzeug.datastructures import Headers, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

READ_BYTES = 64 * 1024


class Writable(Protocol):
    def write(self, data: bytes) -> Any: ...

    def seek(self, position: int) -> Any: ...


F = TypeVar("F", bound=Writable)


class _Decoder(MultipartDecoder):
    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        return super()._parse_headers(bytes(data).decode("utf-8", "replace").encode())


class Form(Generic[F]):
    """`fields` contain text; `files` the results of `new_file`, by field name; `filename` is the last file's."""

    def __init__(self, new_file: Callable[[], F], field_bytes: int) -> None:
        self.fields: MultiDict[str, str] = MultiDict()
        self.files: MultiDict[str, F] = MultiDict()
        self.filename = ""
        self._new_file, self._field_bytes = new_file, field_bytes
        self._part: File | Field | None = None
        self._file: F | None = None
        self._text = bytearray()

    def take(self, event: Event) -> None:
        """Raises RequestEntityTooLarge if a field exceeds its limit."""
        if isinstance(event, File | Field):
            self._part, self._text = event, bytearray()
            self._file = self._new_file() if isinstance(event, File) else None
        elif isinstance(event, Data):
            self._write(event.data)
            if not event.more_data:
                self._finish()

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            return
        self._text += data
        if len(self._text) > self._field_bytes:
            raise RequestEntityTooLarge

    def _finish(self) -> None:
        if self._part is None:
            return
        name = str(self._part.name)
        if self._file is None:
            charset = MultiPartParser().get_part_charset(self._part.headers)
            self.fields.add(name, self._text.decode(charset, "replace"))
        else:
            self._file.seek(0)
            self.files.add(name, self._file)
            self.filename = _unescaped(self._part.filename if isinstance(self._part, File) else "")


def _unescaped(filename: str) -> str:
    """Browsers and curl escape three characters in a form's file names (HTML Standard, multipart/form-data)."""
    return filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def read_form(
    read: Callable[[int], bytes], boundary: str, new_file: Callable[[], F], *, field_bytes: int, max_parts: int
) -> Form[F]:
    """Reads the whole form. Raises ValueError if it is invalid, RequestEntityTooLarge above a limit, and what read
    raises."""
    if not boundary:
        raise ValueError("Missing boundary")
    decoder = _Decoder(boundary.encode("ascii"), field_bytes, max_parts=max_parts)
    form = Form(new_file, field_bytes)
    for event in _events(decoder, read):
        form.take(event)
    return form


def _events(decoder: MultipartDecoder, read: Callable[[int], bytes]) -> Iterator[Event]:
    more = True
    while more:
        data = read(READ_BYTES)
        decoder.receive_data(data or None)  # None: the end
        more = bool(data)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            yield event
