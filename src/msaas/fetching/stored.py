"""Reads a song that the service has stored already: an upload in parts, or the song of a job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msaas.errors import NotFound, StorageUnavailable
from msaas.fetching.answers import Broken, FetchFailed, SourceAnswer

# Instead of a URL's scheme; no address from outside begins with them.
UPLOAD, SONG = "upload:", "song:"


class StoredSource:
    """`read` yields the song from its beginning. Raises NotFound, StorageUnavailable."""

    def __init__(self, read: Callable[[], Iterator[bytes]]) -> None:
        self.read = read
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        self._interrupted.set()

    @contextmanager
    def open(self, start: int, validator: str, deadline: float) -> Iterator[SourceAnswer]:  # noqa: ARG002
        yield SourceAnswer(self._chunks(), 0, None, "")

    def _chunks(self) -> Iterator[bytes]:
        chunks: Iterator[bytes] | None = None
        while True:
            try:
                chunks = chunks or self.read()
                chunk = next(chunks, b"")
            except NotFound as error:
                raise FetchFailed(f"the song is no longer stored: {error.detail}") from error
            except StorageUnavailable as error:
                raise Broken(error.detail, restart=True) from error
            if self._interrupted.is_set():
                raise Broken("interrupted", restart=True)
            if not chunk:
                return
            yield chunk
