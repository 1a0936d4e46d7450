"""Appends to one upload, under its lock: chunk by chunk, each stored before it is acknowledged."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

from msaas import failpoints
from msaas.errors import MSaaSError, UploadLocked
from msaas.storage import UPLOADS, Storage
from msaas.uploads.records import Chunk, Upload

log = logging.getLogger(__name__)

# A request whose client is silent for this long loses its lock to the next one. Its late chunks change nothing.
LOCK_MS = 10_000
# A shorter last chunk is joined with what follows, so that small requests do not become as many objects.
SHORT_BYTES = 1 << 20


class Append:
    """`prefix`: the bytes of a short last chunk; the next chunk stored must begin with them."""

    def __init__(
        self,
        run: Callable[..., Any],
        storage: Storage,
        upload: Upload,
        token: str,
        last: Chunk | None,
        lasts_ms: int,
    ) -> None:
        self._run, self._storage, self._token, self._lasts_ms = run, storage, token, lasts_ms
        self.upload = upload
        self.offset = upload.offset
        self._joined = last if last is not None and last.size < SHORT_BYTES else None

    def prefix(self) -> bytes:
        if self._joined is None:
            return b""
        return b"".join(self._storage.read_chunk(f"{self.upload.id}/{self._joined.name}"))

    def store(self, source: BinaryIO, size: int) -> None:
        """Stores `size` bytes from the current position, which begin with the prefix, and acknowledges them. Raises
        UploadLocked if another request has taken over, or the upload was removed."""
        joined = self._joined
        start = self.offset - (joined.size if joined else 0)
        chunk = Chunk(f"{start:012d}-{secrets.token_hex(8)}", size)
        self._storage.put_chunk(f"{self.upload.id}/{chunk.name}", source, size)
        failpoints.hit("after-chunk")
        self._advance(chunk, start + size, replaces=joined is not None)
        self._joined = None
        if joined:
            with suppress(MSaaSError):  # the sweep deletes it, too
                self._storage.remove(UPLOADS, [f"{self.upload.id}/{joined.name}"])

    def renew(self) -> None:
        """Keeps the lock. Raises UploadLocked if it is lost."""
        self._advance(Chunk("", 0), self.offset, replaces=False)

    def _advance(self, chunk: Chunk, reached: int, *, replaces: bool) -> None:
        offsets = (self.offset, reached)
        limits = (self._lasts_ms, LOCK_MS)
        if not self._run(
            "append", self.upload.id, self._token, chunk.name, chunk.size, *offsets, int(replaces), *limits
        ):
            if chunk.name:
                with suppress(MSaaSError):
                    self._storage.remove(UPLOADS, [f"{self.upload.id}/{chunk.name}"])
            raise UploadLocked("another request has taken over this upload, or it was removed")
        self.offset = reached

    def release(self) -> None:
        """Ends the lock."""
        try:
            self._run("unlock", self.upload.id, self._token)
        except MSaaSError as error:  # it ends by itself
            log.warning("upload not unlocked reason=%s", error)
