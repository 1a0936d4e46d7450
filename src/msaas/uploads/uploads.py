"""Creates, reads and removes uploads. Every method raises QueueUnavailable and StorageUnavailable."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from msaas.errors import NotFound, OffsetMismatch, QuotaExceeded, UploadLocked, UploadTooLarge
from msaas.queue import scripts
from msaas.redis_client import answers, redis_errors
from msaas.storage import UPLOADS, Storage, StoredObject
from msaas.uploads.append import LOCK_MS, Append
from msaas.uploads.records import Chunk, Upload, chunks_from, new_id, unknown_upload

log = logging.getLogger(__name__)

SCRIPTS = ("create", "lock", "append", "unlock", "submitted", "remove")
# A chunk is stored before it is listed: a younger one may still be listed.
STRAY_AFTER = timedelta(hours=1)
READ_ATTEMPTS = 2


@dataclass(frozen=True)
class UploadLimits:
    """`max_uploads` and `max_bytes`: unfinished ones of an account, 0 for any. `lasts_seconds`: since the last
    progress."""

    max_upload_bytes: int
    max_uploads: int
    max_bytes: int
    lasts_seconds: float


class Uploads:
    def __init__(self, redis: Any, storage: Storage, limits: UploadLimits) -> None:
        self.redis, self.storage, self.limits = redis, storage, limits
        self._scripts = {name: scripts.load(redis, f"uploads/{name}") for name in SCRIPTS}

    def run(self, script: str, *args: str | int) -> Any:
        with redis_errors():
            return self._scripts[script](keys=[], args=args)

    @property
    def lasts_ms(self) -> int:
        return int(self.limits.lasts_seconds * 1000)

    # --- one upload

    def create(self, size: int, *, account: str, tenant: str, metadata: str) -> Upload:
        """Raises UploadTooLarge, QuotaExceeded."""
        limits = self.limits
        if size > limits.max_upload_bytes:
            raise UploadTooLarge(f"the upload has {size} bytes; the limit for a song is {limits.max_upload_bytes}")
        id_, most = new_id(), (limits.max_uploads, limits.max_bytes)
        fields = ("tenant", tenant, "metadata", metadata)
        refusal = self.run("create", id_, account, size, *most, self.lasts_ms, *fields)
        if refusal:
            raise QuotaExceeded.of_uploads(limits.max_uploads, limits.max_bytes, heavy=refusal == "heavy")
        return self.get(id_)

    def get(self, id_: str) -> Upload:
        """Raises NotFound."""
        with self._pipeline() as pipe:
            pipe.hgetall(f"upload:{id_}")
            found = Upload.from_hash(id_, answers(pipe, otherwise={})[0])
        if found is None:
            raise unknown_upload(id_)
        return found

    def append(self, upload: Upload, offset: int) -> Append:
        """Locks the upload for one request. Raises NotFound, UploadLocked, OffsetMismatch."""
        token = secrets.token_hex(8)
        outcome, *more = self.run("lock", upload.id, token, offset, LOCK_MS)
        if outcome == "unknown":
            raise unknown_upload(upload.id)
        if outcome == "busy":
            raise UploadLocked("another request is appending to this upload")
        if outcome == "offset":
            raise OffsetMismatch(int(more[0]), offset)
        last = chunks_from(more)
        return Append(self.run, self.storage, upload, token, last[0] if last else None, self.lasts_ms)

    def chunks(self, upload: Upload) -> tuple[Chunk, ...]:
        with self._pipeline() as pipe:
            pipe.lrange(f"upload:{upload.id}:chunks", 0, -1)
            return chunks_from(answers(pipe, otherwise=[])[0])

    def read(self, upload: Upload) -> Iterator[bytes]:
        """The bytes of a complete upload, from its chunks or from the song that it has become. Raises NotFound if some
        are missing."""
        size = 0
        for data in self._data(upload):
            size += len(data)
            yield data
        if size != upload.size:
            raise NotFound(f"{size} of {upload.size} bytes of the upload are stored", code="object_missing")

    def _data(self, upload: Upload) -> Iterator[bytes]:
        if upload.songhash:
            yield from self.storage.read_input(upload.songhash)
            return
        for chunk in self.chunks(upload):
            yield from self.storage.read_chunk(f"{upload.id}/{chunk.name}")

    def submitted(self, upload: Upload, songhash: str) -> None:
        """The upload has become a job. If the process dies in between, the sweep deletes the chunks."""
        self.run("submitted", upload.id, songhash)
        self._remove_chunks(upload.id)

    def remove(self, upload: Upload) -> None:
        self.run("remove", upload.id)
        self._remove_chunks(upload.id)

    def _remove_chunks(self, id_: str) -> None:
        self.storage.remove(UPLOADS, self.storage.chunks_of(id_))

    def _pipeline(self) -> Any:
        with redis_errors():
            return self.redis.pipeline(transaction=False)

    # --- what is left over

    def sweep(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), stopping: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Deletes chunks that belong to no upload: it has expired or become a job, or the request that stored them died
        or lost its lock. Yields their names."""
        stored = self.storage.names(UPLOADS)
        for id_, objects in groupby(stored, key=lambda item: item.name.partition("/")[0]):
            if stopping():
                return
            old = [item.name for item in objects if _is_old(item, now())]
            strays = sorted(set(old) - self._listed(id_)) if old else []
            if strays:
                self.storage.remove(UPLOADS, strays)
                yield from strays

    def _listed(self, id_: str) -> set[str]:
        try:
            upload = self.get(id_)
        except NotFound:
            return set()
        return {f"{id_}/{chunk.name}" for chunk in self.chunks(upload)}


def _is_old(item: StoredObject, now: datetime) -> bool:
    return item.modified is not None and now - item.modified > STRAY_AFTER
