"""A song on its way to the API: read piece by piece, from its beginning for each try. Holds no song in memory."""

from __future__ import annotations

import io
import mimetypes
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO

Source = str | PathLike[str] | bytes | IO[bytes]
OnUpload = Callable[[int, int], None]

CHUNK_BYTES = 256 * 1024
SPOOL_BYTES = 1 << 20


class Song:
    """A seekable file of `size` bytes from where it stands. `content_type` is a guess: the API looks at the bytes."""

    def __init__(self, file: IO[bytes], name: str = "") -> None:
        self.file = file
        self.content_type = content_type(name)
        self._start = file.tell()
        self.size = file.seek(0, io.SEEK_END) - self._start

    def body(self, on_progress: OnUpload | None = None) -> Body:
        """From the beginning."""
        self.file.seek(self._start)
        return Body(self.file, self.size, on_progress)


class Body:
    """File-like as requests wants it: with a length, which makes it a stream with Content-Length."""

    def __init__(self, file: IO[bytes], size: int, on_progress: OnUpload | None) -> None:
        self._file, self._size, self._sent = file, size, 0
        self._tell = on_progress or (lambda _sent, _size: None)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """http.client asks for 16 KiB at a time, or for what it likes: never more than is promised in the length."""
        left = self._size - self._sent
        chunk = self._file.read(left if size < 0 else min(size, left))
        self._sent += len(chunk)
        self._tell(self._sent, self._size)
        return chunk


@contextmanager
def opened(source: Source) -> Iterator[Song]:
    """The song of a path, of bytes, or of a binary file. Raises OSError where the file cannot be read."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield Song(io.BytesIO(source))
    elif isinstance(source, str | PathLike):
        with Path(source).open("rb") as file:
            yield Song(file, Path(source).name)
    elif source.seekable():
        yield Song(source, str(getattr(source, "name", "")))
    else:  # a pipe: kept on disk, since a second try starts from the beginning
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            shutil.copyfileobj(source, spool, CHUNK_BYTES)
            spool.seek(0)
            yield Song(spool)


def content_type(name: str) -> str:
    guessed, _ = mimetypes.guess_type(name)
    return guessed if guessed and guessed.startswith(("audio/", "video/")) else "application/octet-stream"
