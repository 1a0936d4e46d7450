"""Translates the S3 client library's errors. The only place that does."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import MinioException, S3Error, ServerError

from msaas.errors import NotFound, StorageFull, StorageRefused, StorageUnavailable

_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound"})
# These do not recover by waiting: somebody must free space. MinIO's names, SeaweedFS' and Ceph's; in HTTP it is 507.
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"})
_INSUFFICIENT_STORAGE = 507

UNAVAILABLE = (MinioException, urllib3.exceptions.HTTPError, http.client.HTTPException, ConnectionError, TimeoutError)
# Exceptions for malformed answers: broken XML, invalid dates and lengths, missing elements and headers. Not OSError,
# which is this machine's disk.
UNEXPECTED_ANSWER = (ParseError, ValueError, LookupError, TypeError, AttributeError)


class BucketMissing(NotFound):
    """The bucket is missing, not only the object."""


@contextmanager
def storage_errors(name: str = "") -> Iterator[None]:
    """Raises NotFound for a missing object, StorageFull and StorageRefused for error answers, StorageUnavailable for
    the rest.

    Keep other work out of the block: the client's exceptions for malformed answers look like bugs in MSaaS.
    """
    try:
        yield
    except S3Error as error:
        raise _from_answer(error, name) from error
    except ServerError as error:
        if error.status_code == _INSUFFICIENT_STORAGE:
            raise StorageFull(f"the object store has no space left: {error}") from error
        raise StorageRefused(f"the object store refuses: {error}", f"HTTP {error.status_code}") from error
    except (*UNAVAILABLE, *UNEXPECTED_ANSWER) as error:
        kind = type(error).__name__
        raise StorageUnavailable(f"the object store does not respond correctly: {kind} {error}") from error


def _from_answer(error: S3Error, name: str) -> NotFound | StorageUnavailable:
    code = str(error.code)
    if code == "NoSuchBucket":
        return BucketMissing(f"{name} is not in storage", code="object_missing")
    if code in _MISSING:
        return NotFound(f"{name} is not in storage", code="object_missing")
    if code in _FULL:
        return StorageFull(f"the object store has no space left: {code} {error.message}")
    return StorageRefused(f"the object store refuses: {code} {error.message}", code)
