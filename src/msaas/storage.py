"""Songs and stems in an S3 bucket. Names objects, moves bytes; decides nothing about jobs.

`input-tracks` holds `<songhash>.mp3` (whatever the container inside), `output-tracks` `<songhash>-<stem>.<extension>`.
`waveforms` holds `<songhash>.json`, a drawing of the stems: made anew with them, gone with them, never missed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error, ServerError

from msaas import failpoints
from msaas.errors import MSaaSError, NotFound, StorageFull, StorageUnavailable
from msaas.settings import Settings

INPUTS = "input-tracks"
OUTPUTS = "output-tracks"
BUCKETS = (INPUTS, OUTPUTS)  # what callers know of
WAVEFORMS = "waveforms"
REGION = "us-east-1"  # named, so that no call has to ask for it first
CONTENT_TYPES = {"mp3": "audio/mpeg", "flac": "audio/flac", "wav": "audio/wav"}
CHUNK_BYTES = 256 * 1024
DELETE_BATCH = 1000  # the most that S3 takes at once

_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "NoSuchBucket", "ResourceNotFound"})
# Waiting does not mend these: somebody has to make room. MinIO's names, SeaweedFS' and Ceph's; 507 says it in HTTP.
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"})
_INSUFFICIENT_STORAGE = 507


@dataclass(frozen=True)
class Stored:
    """What storage knows of an object. `etag` comes without quotes."""

    name: str
    size: int
    etag: str
    modified: datetime | None


@contextmanager
def storage_errors(name: str = "") -> Iterator[None]:
    """The SDK's errors as ours: NotFound for what is not there, StorageUnavailable for the rest."""
    try:
        yield
    except S3Error as error:
        if error.code in _MISSING:
            raise NotFound(f"{name} is not in storage", code="object_missing") from error
        if error.code in _FULL:
            raise StorageFull(f"the object store has no room left: {error.code} {error.message}") from error
        raise StorageUnavailable(f"the object store refused: {error.code} {error.message}") from error
    except ServerError as error:
        if error.status_code == _INSUFFICIENT_STORAGE:
            raise StorageFull(f"the object store has no room left: {error}") from error
        raise StorageUnavailable(f"the object store does not answer as it should: {error}") from error
    except (MinioException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise StorageUnavailable(f"the object store does not answer as it should: {error}") from error


class Storage:
    """Every method raises StorageUnavailable where the store does not answer."""

    def __init__(self, client: Minio) -> None:
        self.client = client

    @classmethod
    def from_settings(cls, settings: Settings, *, timeout_seconds: float = 30) -> Storage:
        # Retries are the callers' business: the API answers 503 at once, the worker waits and tries again.
        pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=3, read=timeout_seconds),
            retries=urllib3.Retry(total=False, redirect=False),
            maxsize=max(settings.threads, 10),
            cert_reqs="CERT_REQUIRED",
        )
        client = Minio(
            settings.minio_host,
            access_key=settings.minio_access_key,
            secret_key=settings.minio_secret_key,
            secure=settings.minio_secure,
            region=REGION,
            http_client=pool,
        )
        return cls(client)

    def ping(self) -> None:
        with storage_errors(INPUTS):
            self.client.bucket_exists(INPUTS)

    def ensure_buckets(self) -> None:
        for bucket in (*BUCKETS, WAVEFORMS):
            with storage_errors(bucket):
                if not self.client.bucket_exists(bucket):
                    self._make(bucket)

    def _make(self, bucket: str) -> None:
        try:
            self.client.make_bucket(bucket)
        except S3Error as error:  # another part was quicker
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    # --- songs

    def put_input(self, songhash: str, song: Path) -> None:
        self._put(INPUTS, f"{songhash}.mp3", song, "application/octet-stream")

    def fetch_input(self, songhash: str, target: Path) -> None:
        """Writes the song to `target`. Raises NotFound where nothing is stored under the songhash."""
        name = f"{songhash}.mp3"
        failpoints.hit("before-fetch")
        with self._reading(INPUTS, name) as response, target.open("wb") as file:
            for chunk in response.stream(CHUNK_BYTES):
                file.write(chunk)
        failpoints.hit("after-fetch")

    def has_input(self, songhash: str) -> bool:
        return self._stat(INPUTS, f"{songhash}.mp3") is not None

    # --- stems

    def put_stem(self, name: str, stem: Path) -> None:
        self._put(OUTPUTS, name, stem, CONTENT_TYPES[name.rpartition(".")[2]])

    def stat_stem(self, name: str) -> Stored | None:
        return self._stat(OUTPUTS, name)

    def read_stem(self, name: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """The bytes from `offset`, `length` of them (0: all). The connection is given back even if abandoned."""
        with self._reading(OUTPUTS, name, offset, length) as response:
            yield from response.stream(CHUNK_BYTES)

    def remove_stem(self, name: str) -> None:
        with storage_errors(name):
            self.client.remove_object(OUTPUTS, name)

    def stems_of(self, songhash: str) -> list[str]:
        with storage_errors(songhash):
            return [str(item.object_name) for item in self.client.list_objects(OUTPUTS, prefix=f"{songhash}-")]

    def remove_stems_of(self, songhash: str) -> None:
        """And their drawing."""
        self.remove(OUTPUTS, self.stems_of(songhash))
        self.remove_waveforms(songhash)

    # --- waveforms

    def put_waveforms(self, songhash: str, data: bytes) -> None:
        try:
            self._put_waveforms(songhash, data)
        except NotFound:  # a store set up before there was this bucket
            with storage_errors(WAVEFORMS):
                self._make(WAVEFORMS)
            self._put_waveforms(songhash, data)

    def _put_waveforms(self, songhash: str, data: bytes) -> None:
        with storage_errors(WAVEFORMS):
            self.client.put_object(WAVEFORMS, f"{songhash}.json", io.BytesIO(data), len(data), "application/json")

    def read_waveforms(self, songhash: str) -> bytes | None:
        with suppress(NotFound), self._reading(WAVEFORMS, f"{songhash}.json") as response:
            return bytes(response.read())
        return None

    def remove_waveforms(self, songhash: str) -> None:
        with suppress(NotFound), storage_errors(songhash):
            self.client.remove_object(WAVEFORMS, f"{songhash}.json")

    # --- whole buckets

    def names(self, bucket: str, after: str = "") -> Iterator[Stored]:
        """In the order of their names, from the one behind `after` on. The store is asked for a thousand at a time."""
        with storage_errors(bucket):
            for item in self.client.list_objects(bucket, recursive=True, start_after=after or None):
                yield Stored(str(item.object_name), item.size or 0, item.etag or "", item.last_modified)

    def remove_input(self, songhash: str) -> None:
        with storage_errors(songhash):
            self.client.remove_object(INPUTS, f"{songhash}.mp3")

    def empty(self) -> int:
        """Deletes every object of our buckets and says how many songs and stems went."""
        with suppress(NotFound):
            self._empty(WAVEFORMS)
        return sum(self._empty(bucket) for bucket in BUCKETS)

    def _empty(self, bucket: str) -> int:
        """Deletes while it lists: a bucket's names need not fit into memory."""
        return self.remove(bucket, (item.name for item in self.names(bucket)))

    def remove(self, bucket: str, names: Iterable[str]) -> int:
        """Deletes what is there of these, a thousand at a time; how many were named."""
        count = 0
        refused: list[str] = []
        with storage_errors(bucket):
            for batch in _batches(names, DELETE_BATCH):
                count += len(batch)
                doomed = [DeleteObject(name) for name in batch]
                refused += [str(error.code) for error in self.client.remove_objects(bucket, doomed)]
        if refused:
            raise StorageUnavailable(f"{bucket}: {len(refused)} of {count} objects could not be deleted: {refused[0]}")
        return count

    # --- plumbing

    def _put(self, bucket: str, name: str, source: Path, content_type: str) -> None:
        if not source.is_file():
            raise MSaaSError(f"{source} is gone before it was stored")
        failpoints.hit("before-put")
        with storage_errors(bucket):
            self.client.fput_object(bucket, name, str(source), content_type=content_type)
        failpoints.hit("after-put")

    def _stat(self, bucket: str, name: str) -> Stored | None:
        try:
            with storage_errors(name):
                found = self.client.stat_object(bucket, name)
        except NotFound:
            return None
        return Stored(name, found.size or 0, (found.etag or "").strip('"'), found.last_modified)

    @contextmanager
    def _reading(self, bucket: str, name: str, offset: int = 0, length: int = 0) -> Iterator[Any]:
        with storage_errors(name):
            response = self.client.get_object(bucket, name, offset=offset, length=length)
            try:
                yield response
            finally:
                response.close()
                response.release_conn()


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(names)
    while batch := list(islice(left, size)):
        yield batch
