"""Reads a song from a listed bucket of the configured object store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msaas.errors import NotFound, StorageUnavailable
from msaas.fetching.answers import Broken, FetchFailed, SourceAnswer
from msaas.fetching.sources import StoredSong
from msaas.storage import Storage


class BucketSource:
    """The store's time-outs limit each wait."""

    def __init__(self, song: StoredSong, storage: Storage) -> None:
        self.song, self.storage = song, storage
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        self._interrupted.set()

    @contextmanager
    def open(self, start: int, validator: str, deadline: float) -> Iterator[SourceAnswer]:  # noqa: ARG002
        with self._as_broken():
            found = self.storage.stat_object(self.song.bucket, self.song.key)
        if found is None:
            raise self._missing()
        start = start if validator == found.etag else 0
        yield SourceAnswer(self._chunks(start), start, found.size, found.etag)

    def _chunks(self, start: int) -> Iterator[bytes]:
        chunks = self.storage.read_object(self.song.bucket, self.song.key, start)
        while True:
            with self._as_broken():
                chunk = next(chunks, b"")
            if self._interrupted.is_set():
                raise Broken("interrupted")
            if not chunk:
                return
            yield chunk

    @contextmanager
    def _as_broken(self) -> Iterator[None]:
        try:
            yield
        except NotFound as error:  # deleted in between
            raise self._missing() from error
        except StorageUnavailable as error:
            raise Broken(error.detail) from error

    def _missing(self) -> FetchFailed:
        return FetchFailed(f"{self.song.origin} has no such object")
