"""What a source answers, and how an attempt to read it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from msaas.errors import MSaaSError


@dataclass(frozen=True)
class SourceAnswer:
    """Bytes of a song from `start` on. `total`: of the whole song, None if it is not declared. `validator`: identifies
    the song's version, empty if the source names none; then a broken download starts again."""

    chunks: Iterator[bytes]
    start: int
    total: int | None
    validator: str


class Source(Protocol):
    """A song's address, open to be read."""

    def open(self, start: int, validator: str, deadline: float) -> AbstractContextManager[SourceAnswer]:
        """The song from `start` on if its version is still the one of `validator`, else from 0.

        `deadline` of time.monotonic(). Raises Broken, FetchFailed, FetchRefused.
        """

    def interrupt(self) -> None:
        """Ends reading, from another thread: the reader gets Broken."""


class Broken(Exception):
    """The attempt failed in a way that the next one may not. `restart`: what was read is useless."""

    def __init__(self, reason: str, *, restart: bool = False) -> None:
        super().__init__(reason)
        self.restart = restart


class FetchFailed(MSaaSError):
    """`temporary`: a later run may succeed."""

    code = "fetch_failed"
    status = 422

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary
