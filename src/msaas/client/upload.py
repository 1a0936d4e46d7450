"""A song for upload: read in chunks, from the beginning for each attempt. Never held in memory as a whole."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO

from msaas.client.errors import SongTooLarge

OnUpload = Callable[[int, int], None]

CHUNK_BYTES = 256 * 1024
SPOOL_BYTES = 1 << 20
LONG_BYTES = 32 << 20  # of a pipe: beyond this size, check that it has an end


class Song:
    """A seekable file of `size` bytes from its current position. `name`: its file's, empty if unknown. `content_type`
    is a guess: the API checks the bytes."""

    def __init__(self, file: IO[bytes], name: str = "") -> None:
        self.file, self.name = file, name
        self.content_type = content_type(name)
        self._start = file.tell()
        self.size = file.seek(0, io.SEEK_END) - self._start

    def body(self, on_progress: OnUpload | None = None) -> Body:
        """A body that starts at the beginning."""
        self.file.seek(self._start)
        return Body(self.file, self.size, on_progress)

    def part(self, offset: int, length: int, on_progress: OnUpload) -> Body:
        """A body of `length` bytes from `offset`; on_progress gets bytes of the whole song."""
        self.file.seek(self._start + offset)
        return Body(self.file, length, lambda sent, _length: on_progress(offset + sent, self.size))

    def sha256(self) -> str:
        """The hash of all its bytes."""
        self.file.seek(self._start)
        return hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]


Source = str | PathLike[str] | bytes | IO[bytes] | Song


class Body:
    """A file-like object for requests, with a length, so that it is streamed with a Content-Length."""

    def __init__(self, file: IO[bytes], size: int, on_progress: OnUpload | None) -> None:
        self._file, self._size, self._sent = file, size, 0
        self._on_progress = on_progress or (lambda _sent, _size: None)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """http.client chooses the sizes; never returns more than the declared length."""
        left = self._size - self._sent
        chunk = self._file.read(left if size < 0 else min(size, left))
        self._sent += len(chunk)
        self._on_progress(self._sent, self._size)
        return chunk


@contextmanager
def opened(source: Source, name: str = "", *, limit_bytes: Callable[[], int | None] = lambda: None) -> Iterator[Song]:
    """Opens a song from a path, bytes, or a binary file. Pipes and devices are first read to disk.

    limit_bytes: called for a long pipe, since it may have no end. Raises OSError if the file cannot be read,
    SongTooLarge.
    """
    if isinstance(source, Song):
        yield source
    elif isinstance(source, bytes | bytearray | memoryview):
        yield Song(io.BytesIO(source))
    elif isinstance(source, str | PathLike):
        with Path(source).open("rb") as file, opened(file, Path(source).name, limit_bytes=limit_bytes) as song:
            yield song
    elif _is_rewindable(source):
        yield Song(source, name or _name_of(source))
    else:
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:  # a retry starts from the beginning
            _copy(source, spool, limit_bytes)
            spool.seek(0)
            yield Song(spool, name)


def _name_of(file: IO[bytes]) -> str:
    """Empty for a file without a path."""
    path = getattr(file, "name", "")
    return Path(path).name if isinstance(path, str) else ""


def _is_rewindable(file: IO[bytes]) -> bool:
    """A device such as /dev/zero is seekable, but has no end."""
    if not file.seekable():
        return False
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, AttributeError):  # not a file of the system: it is in memory
        return True


def _copy(source: IO[bytes], target: IO[bytes], limit_bytes: Callable[[], int | None]) -> None:
    size, limit = 0, None
    while chunk := source.read(CHUNK_BYTES):
        size += len(chunk)
        if size > LONG_BYTES and limit is None:
            limit = limit_bytes() or sys.maxsize
        if limit is not None and size > limit:
            raise SongTooLarge(f"the song has more than {limit} bytes, the limit of the service")
        target.write(chunk)


def content_type(name: str) -> str:
    guessed, _ = mimetypes.guess_type(name)
    return guessed if guessed and guessed.startswith(("audio/", "video/")) else "application/octet-stream"
