"""The body of a request that appends to an upload: stored in chunks while it arrives, so that little is lost with the
client, the connection or this process. With a checksum, nothing is stored before the whole body has it."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from msaas.errors import BadRequest, ChecksumMismatch, MSaaSError, UploadTooLarge
from msaas.uploads import Append
from msaas.web.uploads.body import CHUNK_BYTES as READ_BYTES
from msaas.web.uploads.spool import Scratch
from msaas.web.uploads.tus_headers import ALGORITHMS, Checksum

log = logging.getLogger(__name__)

# With the piece that fills it, a chunk stays below 5 MiB, which the object store takes in one request.
CHUNK_BYTES = 4 << 20
# A slow client's bytes are stored after this time, if there are enough for a chunk of their own.
STEP_SECONDS = 3.0
MIN_CHUNK_BYTES = 1 << 20


class AppendBody:
    """A Receiver (msaas.web.asgi.exchange). `declared`: the body's length, None if it is chunked.

    `end` detects a truncated body; `finish` stores the rest. `close` stores what has arrived, also of a request that
    was cut short, and ends the upload's lock.
    """

    def __init__(
        self,
        append: Append,
        folder: Path,
        *,
        declared: int | None,
        checksum: Checksum | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.append, self._folder, self._declared, self._checksum = append, folder, declared, checksum
        self._hash = ALGORITHMS[checksum.algorithm]() if checksum else None
        self._room, self._received = append.upload.size - append.offset, 0
        self._clock, self._stepped_at = clock, clock()
        self._scratch: Scratch | None = None
        self._arrived = 0  # bytes of the body that are in the scratch file
        if declared is not None and declared > self._room:
            self._refuse(str(declared))
        if declared != 0:
            self._opened()  # here, since it may read from the object store

    @property
    def upload_id(self) -> str:
        return self.append.upload.id

    # --- while the body arrives

    def write(self, data: bytes) -> None:
        """Raises UploadTooLarge beyond the upload's size, ScratchFull."""
        self._received += len(data)
        if self._received > self._room:
            self._arrived, self._checksum = 0, None  # of a client that miscounts, nothing more is kept
            self._refuse(f"more than {self._room}")
        if self._hash is not None:
            self._hash.update(data)
        self._opened().write(data)
        self._arrived += len(data)

    @property
    def due(self) -> bool:
        if self._hash is None and self._arrived >= CHUNK_BYTES:
            return True
        return self._clock() - self._stepped_at > STEP_SECONDS

    def step(self) -> None:
        """Stores a chunk, or keeps the lock. Raises UploadLocked if it is lost."""
        self._stepped_at = self._clock()
        if self._hash is None and self._arrived >= MIN_CHUNK_BYTES:
            self._store()
        else:
            self.append.renew()

    def end(self, *, cut_short: bool = False) -> None:
        """Raises BadRequest if the body is incomplete."""
        if cut_short or (self._declared is not None and self._received < self._declared):
            raise self._cut_short()

    def read_from(self, request: Request) -> None:
        """For servers that do not receive bodies themselves, and for tests."""
        try:
            while data := request.stream.read(READ_BYTES):
                self.write(data)
                if self.due:
                    self.step()
        except (ClientDisconnected, OSError) as error:
            raise self._cut_short() from error
        self.end()

    # --- the end

    def finish(self) -> int:
        """Stores the rest; returns the upload's offset. Raises ChecksumMismatch, UploadLocked."""
        self._verify()
        self._store()
        return self.append.offset

    def _verify(self) -> None:
        if self._checksum is None or self._hash is None:
            return
        if not hmac.compare_digest(self._hash.digest(), self._checksum.digest):
            self._arrived = 0
            raise ChecksumMismatch(
                f"the {self._received} bytes do not have the {self._checksum.algorithm} of the header"
            )
        self._checksum = None  # verified

    def close(self) -> None:
        try:
            if self._checksum is None:
                self._store()
        except (MSaaSError, OSError) as error:
            log.warning("the end of a body is lost upload=%s reason=%s", self.upload_id, error)
        finally:
            self._discard()
            self.append.release()

    # --- the scratch file: a short last chunk of the upload, then what has arrived

    def _opened(self) -> Scratch:
        if self._scratch is None:
            prefix = self.append.prefix()
            self._scratch = Scratch(self._folder, len(prefix) + self._room)
            self._scratch.write(prefix)
        return self._scratch

    def _store(self) -> None:
        scratch, arrived = self._scratch, self._arrived
        if scratch is None or not arrived:
            return
        self._arrived = 0  # if storing fails, whether the bytes are acknowledged is for the client to ask
        scratch.seek(0)
        left = scratch.size
        while left:
            size = min(left, CHUNK_BYTES) if left >= CHUNK_BYTES + MIN_CHUNK_BYTES else left
            self.append.store(scratch.file, size)
            left -= size
        self._discard()

    def _discard(self) -> None:
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    # --- refusals

    def _refuse(self, size: str) -> None:
        raise UploadTooLarge(f"the body has {size} bytes; the upload takes {self._room} more")

    def _cut_short(self) -> BadRequest:
        declared = "an unknown number of" if self._declared is None else self._declared
        return BadRequest(f"the body ends after {self._received} of {declared} bytes", code="upload_cut_short")
