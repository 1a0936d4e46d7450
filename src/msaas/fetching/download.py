"""Reads a source to a file, hashed, within limits; resumes after a break. Knows neither HTTP nor jobs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msaas.errors import BadRequest, UploadTooLarge
from msaas.fetching.answers import Broken, FetchFailed, Source, SourceAnswer

MAX_BREAKS = 6  # in a row, without a byte in between
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 10.0


@dataclass(frozen=True)
class DownloadLimits:
    """`seconds`: of the whole download with its pauses. The average rate must be at least `slow_bytes_per_second` once
    an attempt has taken `slow_seconds`."""

    bytes: int
    seconds: float
    slow_seconds: float
    slow_bytes_per_second: float


@dataclass(frozen=True)
class FetchedSong:
    """`sha256` in hex."""

    path: Path
    size: int
    sha256: str


class Download:
    """`progress` is called with the share that is there, 0 if the length is unknown; `check` raises to stop, and so may
    `pause`, which sleeps. `waiting` is called with the reason before that, and with an empty one once the source
    answers."""

    def __init__(
        self,
        source: Source,
        path: Path,
        limits: DownloadLimits,
        *,
        progress: Callable[[float], object],
        check: Callable[[], None],
        pause: Callable[[float], None],
        waiting: Callable[[str], object] = lambda _reason: None,
    ) -> None:
        self.source, self.path, self.limits = source, path, limits
        self._progress, self._check, self._pause, self._waiting = progress, check, pause, waiting
        self._restart()

    def _restart(self) -> None:
        self._hash, self.size, self._validator = hashlib.sha256(), 0, ""

    def run(self) -> FetchedSong:
        """Raises UploadTooLarge, BadRequest (an empty song), FetchFailed, FetchRefused, OSError for a full disk, and
        what `check` and `pause` raise."""
        deadline, breaks, reached = time.monotonic() + self.limits.seconds, 0, 0
        while True:
            self._check()
            try:
                self._read(deadline)
                break
            except Broken as error:
                self._check()
                breaks = 1 if self.size > reached else breaks + 1
                reached = max(reached, self.size)
                if error.restart:
                    self._restart()
                self._wait(error, breaks, deadline)
        if not self.size:
            raise BadRequest("the song is empty: it has 0 bytes", code="empty_file")
        return FetchedSong(self.path, self.size, self._hash.hexdigest())

    def _wait(self, error: Broken, breaks: int, deadline: float) -> None:
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (breaks - 1), MAX_PAUSE_SECONDS)
        if time.monotonic() + pause > deadline:
            raise FetchFailed(f"not fetched within {self.limits.seconds:g} seconds: {error}") from error
        if breaks > MAX_BREAKS:
            raise FetchFailed(str(error), temporary=True) from error
        self._waiting(str(error))
        self._pause(pause)

    def _read(self, deadline: float) -> None:
        with self.source.open(self.size, self._validator, deadline) as answer:
            self._waiting("")
            if answer.start != self.size:
                if answer.start:
                    raise Broken("the server sent another range than the requested one", restart=True)
                self._restart()
            self._validator = answer.validator
            self._refuse_length(answer.total)
            with self.path.open("r+b" if self.size else "wb") as file:
                file.seek(self.size)
                self._copy(answer, file.write, deadline)
        if answer.total is not None and self.size < answer.total:
            raise Broken("the connection ended early", restart=not self._validator)

    def _copy(self, answer: SourceAnswer, write: Callable[[bytes], object], deadline: float) -> None:
        began, before = time.monotonic(), self.size
        for chunk in answer.chunks:
            self._check()
            self._refuse_length(self.size + len(chunk))
            write(chunk)
            self._hash.update(chunk)
            self.size += len(chunk)
            if time.monotonic() > deadline:
                raise FetchFailed(f"not fetched within {self.limits.seconds:g} seconds")
            self._refuse_slow(self.size - before, time.monotonic() - began)
            self._progress(min(self.size / answer.total, 1.0) if answer.total else 0.0)

    def _refuse_length(self, size: int | None) -> None:
        if size is not None and size > self.limits.bytes:
            raise UploadTooLarge(f"the song has {size} bytes or more; the limit is {self.limits.bytes}")

    def _refuse_slow(self, size: int, seconds: float) -> None:
        if seconds > self.limits.slow_seconds and size < seconds * self.limits.slow_bytes_per_second:
            rate = self.limits.slow_bytes_per_second
            raise FetchFailed(f"the song arrives with less than {rate:g} bytes a second")
