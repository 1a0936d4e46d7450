"""Songs and stems in S3 buckets. Names and transfers objects; makes no decisions about jobs.

`input-tracks` contains `<songhash>.mp3` (in any audio format), `output-tracks` `<songhash>-<stem>.<extension>`.
`waveforms` contains `<songhash>.json`, the stems' waveforms, and `<songhash>.detail`, finer ones: created and deleted
with them, and optional. `uploads` contains the chunks of unfinished uploads (msaas.uploads), `<upload ID>/<chunk>`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from msaas import failpoints
from msaas.errors import MSaaSError, NotFound, ObjectDamaged, StorageRefused
from msaas.formats import FORMATS, media_type_of
from msaas.storage.errors import BucketMissing, storage_errors

INPUTS = "input-tracks"
OUTPUTS = "output-tracks"
BUCKETS = (INPUTS, OUTPUTS)  # visible to callers
WAVEFORMS = "waveforms"
WAVEFORM_SUFFIXES = (".json", ".detail")
UPLOADS = "uploads"
ALL_BUCKETS = (*BUCKETS, WAVEFORMS, UPLOADS)
CHUNK_BYTES = 256 * 1024
PARTS_AT_ONCE = 3  # minio's default
DELETE_BATCH = 1000  # S3's maximum per request
# Written and deleted to test whether the store accepts writes. One name for all processes: a leftover is deleted by the
# next check.
CHECK_NAME = ".msaas-check"


@dataclass(frozen=True)
class StoredObject:
    """An object's metadata. `etag` has no quotes."""

    name: str
    size: int
    etag: str
    modified: datetime | None


@dataclass(frozen=True)
class ExpectedUpload:
    """Size and hash of a song according to its record; empty for one stored by hand."""

    size: int | None = None
    sha256: str | None = None  # hex


UNKNOWN = ExpectedUpload()


class Storage:
    """Every method raises StorageUnavailable if the store does not respond.

    `parts_at_once`: concurrent parts when uploading a large file, each with 5 MB in memory.
    """

    def __init__(self, client: Minio, *, parts_at_once: int = PARTS_AT_ONCE) -> None:
        self.client, self.parts_at_once = client, parts_at_once

    def ping(self) -> None:
        with storage_errors(INPUTS):
            self.client.bucket_exists(INPUTS)

    def ensure_buckets(self) -> None:
        for bucket in ALL_BUCKETS:
            with storage_errors(bucket):
                if not self.client.bucket_exists(bucket):
                    self._make(bucket)

    def _make(self, bucket: str) -> None:
        with storage_errors(bucket):
            try:
                self.client.make_bucket(bucket)
            except S3Error as error:  # another process was faster
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def check(self) -> None:
        """Writes and deletes an object in each bucket: a store may answer but reject writes."""
        for bucket in ALL_BUCKETS:
            self._put_bytes(bucket, CHECK_NAME, b"ok", "text/plain")
            self._remove_one(bucket, CHECK_NAME)

    # --- songs

    def put_input(self, songhash: str, song: Path) -> None:
        self._put(INPUTS, f"{songhash}.mp3", song, "application/octet-stream")

    def fetch_input(self, songhash: str, target: Path, sent: ExpectedUpload = UNKNOWN) -> None:
        """Writes the song to `target`. Raises NotFound if it is not stored, ObjectDamaged if the data differ from the
        upload: a store may truncate an answer without an error."""
        name = f"{songhash}.mp3"
        failpoints.hit("before-fetch")
        stored = sent if sent.size is not None else self._expected_upload(INPUTS, name)
        digest, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            for chunk in self._chunks(INPUTS, name):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        if stored.size is not None and size != stored.size:
            raise ObjectDamaged(f"the object store returned {size} bytes of {name}, which has {stored.size}")
        if stored.sha256 not in (None, digest.hexdigest()):
            raise ObjectDamaged(f"the object store returned other bytes of {name} than were uploaded")
        failpoints.hit("after-fetch")

    def _expected_upload(self, bucket: str, name: str) -> ExpectedUpload:
        found = self._stat(bucket, name)
        return UNKNOWN if found is None else ExpectedUpload(found.size)

    def has_input(self, songhash: str) -> bool:
        return self._stat(INPUTS, f"{songhash}.mp3") is not None

    # --- stems

    def put_stem(self, name: str, stem: Path) -> None:
        self._put(OUTPUTS, name, stem, media_type_of(name))

    def stat_stem(self, name: str) -> StoredObject | None:
        return self._stat(OUTPUTS, name)

    def read_stem(self, name: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """`length` bytes from `offset` (0: all). The connection is returned to the pool even if the iterator is
        abandoned.

        Raises ObjectDamaged at the end if fewer than `length` came.
        """
        size = 0
        for chunk in self._chunks(OUTPUTS, name, offset, length):
            size += len(chunk)
            yield chunk
        if length and size != length:
            raise ObjectDamaged(f"the object store returned {size} bytes of {name} instead of {length}")

    def remove_stem(self, name: str) -> None:
        self._remove_one(OUTPUTS, name)

    def stems_of(self, songhash: str) -> list[str]:
        with suppress(NotFound), storage_errors(songhash):
            return [str(item.object_name) for item in self.client.list_objects(OUTPUTS, prefix=f"{songhash}-")]
        return []

    def remove_stems_of(self, songhash: str) -> None:
        """Also deletes their waveforms."""
        self.remove(OUTPUTS, self.stems_of(songhash))
        self.remove_waveforms(songhash)

    # --- waveforms

    def put_waveforms(self, songhash: str, data: bytes) -> None:
        self._put_bytes(WAVEFORMS, f"{songhash}.json", data, "application/json")

    def read_waveforms(self, songhash: str) -> bytes | None:
        with suppress(NotFound):
            return b"".join(self._chunks(WAVEFORMS, f"{songhash}.json"))
        return None

    def put_waveform_detail(self, songhash: str, data: bytes) -> None:
        self._put_bytes(WAVEFORMS, f"{songhash}.detail", data, "application/octet-stream")

    def read_waveform_detail(self, songhash: str, offset: int, length: int) -> bytes | None:
        """At most `length` bytes from `offset`; None if there is no detail, or less than `offset` of it."""
        try:
            return b"".join(self._chunks(WAVEFORMS, f"{songhash}.detail", offset, length))
        except NotFound:
            return None
        except StorageRefused as error:
            if error.reason != "InvalidRange":
                raise
            return None

    def remove_waveforms(self, songhash: str) -> None:
        for suffix in WAVEFORM_SUFFIXES:
            self._remove_one(WAVEFORMS, songhash + suffix)

    def waveforms_of(self, songhash: str) -> list[str]:
        with suppress(NotFound), storage_errors(songhash):
            return [str(item.object_name) for item in self.client.list_objects(WAVEFORMS, prefix=songhash)]
        return []

    # --- chunks of unfinished uploads

    def put_chunk(self, name: str, source: BinaryIO, size: int) -> None:
        """Stores `size` bytes of a file from its current position; up to 5 MiB are one request."""
        start = source.tell()

        def put() -> None:
            source.seek(start)
            self.client.put_object(UPLOADS, name, source, size)

        failpoints.hit("before-put")
        self._with_bucket(UPLOADS, name, put)
        failpoints.hit("after-put")

    def read_chunk(self, name: str) -> Iterator[bytes]:
        """Raises NotFound."""
        return self._chunks(UPLOADS, name)

    def read_input(self, songhash: str) -> Iterator[bytes]:
        """A stored song. Raises NotFound."""
        return self._chunks(INPUTS, f"{songhash}.mp3")

    def chunks_of(self, upload_id: str) -> list[str]:
        """The names of an upload's chunks, stored by whichever request."""
        with suppress(NotFound), storage_errors(UPLOADS):
            return [str(item.object_name) for item in self.client.list_objects(UPLOADS, prefix=f"{upload_id}/")]
        return []

    # --- songs in other buckets, which are read only

    def stat_object(self, bucket: str, name: str) -> StoredObject | None:
        """None if the bucket or the object does not exist."""
        try:
            return self._stat(bucket, name)
        except BucketMissing:
            return None

    def read_object(self, bucket: str, name: str, offset: int = 0) -> Iterator[bytes]:
        """Raises NotFound."""
        return self._chunks(bucket, name, offset)

    # --- whole buckets

    def put_object(self, bucket: str, name: str, source: Path) -> None:
        """A file under any name, in one of our buckets."""
        known = bucket == OUTPUTS and name.rpartition(".")[2] in FORMATS
        self._put(bucket, name, source, media_type_of(name) if known else "application/octet-stream")

    def names(self, bucket: str, after: str = "") -> Iterator[StoredObject]:
        """Sorted by name, starting after `after`. Lists a thousand objects per request."""
        with storage_errors(bucket):
            for item in self.client.list_objects(bucket, recursive=True, start_after=after or None):
                if item.object_name != CHECK_NAME:
                    yield StoredObject(str(item.object_name), item.size or 0, item.etag or "", item.last_modified)

    def remove_input(self, songhash: str) -> None:
        self._remove_one(INPUTS, f"{songhash}.mp3")

    def empty(self) -> int:
        """Deletes all objects in our buckets; returns the number of songs and stems."""
        self._empty(WAVEFORMS)
        self._empty(UPLOADS)
        return sum(self._empty(bucket) for bucket in BUCKETS)

    def _empty(self, bucket: str) -> int:
        """Deletes while listing: the names need not fit into memory."""
        return self.remove(bucket, (item.name for item in self.names(bucket)))

    def remove(self, bucket: str, names: Iterable[str]) -> int:
        """Deletes the named objects if present, a thousand at a time; returns the number of names."""
        count = 0
        refused: list[str] = []
        try:
            for batch in _batches(names, DELETE_BATCH):
                count += len(batch)
                objects = [DeleteObject(name) for name in batch]
                with storage_errors(bucket):
                    refused += [str(error.code) for error in self.client.remove_objects(bucket, objects)]
        except BucketMissing:
            self._make(bucket)
            return 0
        if refused:
            text = f"{bucket}: {len(refused)} of {count} objects could not be deleted: {refused[0]}"
            raise StorageRefused(text, refused[0])
        return count

    # --- plumbing

    def _put(self, bucket: str, name: str, source: Path, content_type: str) -> None:
        if not source.is_file():
            raise MSaaSError(f"{source} was deleted before it was stored")
        failpoints.hit("before-put")
        put = partial(self.client.fput_object, content_type=content_type, num_parallel_uploads=self.parts_at_once)
        self._with_bucket(bucket, name, lambda: put(bucket, name, str(source)))
        failpoints.hit("after-put")

    def _put_bytes(self, bucket: str, name: str, data: bytes, content_type: str) -> None:
        self._with_bucket(
            bucket, name, lambda: self.client.put_object(bucket, name, io.BytesIO(data), len(data), content_type)
        )

    def _with_bucket(self, bucket: str, name: str, put: Callable[[], object]) -> None:
        """Creates a missing bucket (a new store, or an emptied one) and retries."""
        try:
            with storage_errors(name):
                put()
        except BucketMissing:
            self._make(bucket)
            with storage_errors(name):
                put()

    def _remove_one(self, bucket: str, name: str) -> None:
        with suppress(NotFound), storage_errors(name):
            self.client.remove_object(bucket, name)

    def _stat(self, bucket: str, name: str) -> StoredObject | None:
        try:
            with storage_errors(name):
                found = self.client.stat_object(bucket, name)
        except NotFound:
            return None
        return StoredObject(name, found.size or 0, (found.etag or "").strip('"'), found.last_modified)

    def _chunks(self, bucket: str, name: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """The connection is returned to the pool even if the reader stops early. The reader's own work is outside the
        block: its disk may be full."""
        with storage_errors(name):
            response: Any = self.client.get_object(bucket, name, offset=offset, length=length)
            try:
                yield from response.stream(CHUNK_BYTES)
            finally:
                response.close()
                response.release_conn()


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(names)
    while batch := list(islice(left, size)):
        yield batch
