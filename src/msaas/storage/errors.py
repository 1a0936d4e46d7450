"""The S3 client library's errors as ours: translated here, and nowhere else."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import MinioException, S3Error, ServerError

from msaas.errors import NotFound, StorageFull, StorageRefused, StorageUnavailable

_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound"})
# Waiting does not mend these: somebody has to make room. MinIO's names, SeaweedFS' and Ceph's; 507 says it in HTTP.
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"})
_INSUFFICIENT_STORAGE = 507

AWAY = (MinioException, urllib3.exceptions.HTTPError, http.client.HTTPException, ConnectionError, TimeoutError)
# What the client raises where an answer is not what an S3 server sends: broken XML, dates and lengths that are none,
# elements and headers that are missing. An OSError is not among them: that is this machine's disk.
STRANGE_ANSWER = (ParseError, ValueError, LookupError, TypeError, AttributeError)


class BucketMissing(NotFound):
    """The bucket, not only the object, is not there."""


@contextmanager
def storage_errors(name: str = "") -> Iterator[None]:
    """NotFound for what is not there, StorageFull and StorageRefused for what the store says, StorageUnavailable for
    the rest.

    Keep other work out of the block: what the client raises for a strange answer cannot be told from a bug of ours.
    """
    try:
        yield
    except S3Error as error:
        raise _from_answer(error, name) from error
    except ServerError as error:
        if error.status_code == _INSUFFICIENT_STORAGE:
            raise StorageFull(f"the object store has no room left: {error}") from error
        raise StorageRefused(f"the object store refuses: {error}", f"HTTP {error.status_code}") from error
    except (*AWAY, *STRANGE_ANSWER) as error:
        kind = type(error).__name__
        raise StorageUnavailable(f"the object store does not respond correctly: {kind} {error}") from error


def _from_answer(error: S3Error, name: str) -> NotFound | StorageUnavailable:
    code = str(error.code)
    if code == "NoSuchBucket":
        return BucketMissing(f"{name} is not in storage", code="object_missing")
    if code in _MISSING:
        return NotFound(f"{name} is not in storage", code="object_missing")
    if code in _FULL:
        return StorageFull(f"the object store has no room left: {code} {error.message}")
    return StorageRefused(f"the object store refuses: {code} {error.message}", code)
