"""Copies the store's buckets to a folder, and back: the backup of songs and stems.

A file is `<bucket>/<object name>` (copied_names has the exceptions). Its modification time is the start of the last
copy that found the object in the store. An object that the store no longer has is therefore kept for a while after its
deletion: a copy of Redis that is as old may name it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from msaas.errors import MSaaSError, NotFound, StorageRefused
from msaas.maintenance.copied_names import ENCODED, Unusable, name_of, path_of
from msaas.storage import ALL_BUCKETS, Storage, StoredObject

log = logging.getLogger(__name__)

# The store's clock may differ from this machine's. What changed that shortly before a copy is copied by the next again.
CLOCK_SKEW_SECONDS = 3600
# Of one object's name, not of the folder's disk: names that a file system does not take, and places that are taken.
ERRORS_OF_NAMES = (
    *(errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
)
PARTIAL, LOCK = ".part", ".lock"  # in the folder; no bucket's name begins with a dot


@dataclass
class Report:
    """Numbers of objects."""

    transferred: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    kept: set[Path] = field(default_factory=set, compare=False)  # older copies of objects that could not be copied

    def __str__(self) -> str:
        return f"transferred={self.transferred} unchanged={self.unchanged} removed={self.removed} failed={self.failed}"


def copy_buckets(storage: Storage, folder: Path, *, keep_seconds: float, now: float) -> Report:
    """Copies new and changed objects to the folder. Deletes files whose object has been gone for `keep_seconds`.

    An object that cannot be copied is logged and counted, and an older copy of it stays. `now`: seconds since 1970.
    Raises StorageUnavailable; MSaaSError if another copy is at work in the folder.
    """
    report = Report()
    with _locked(folder):
        for bucket in ALL_BUCKETS:
            for found in _objects(storage, bucket):
                _copy(storage, bucket, found, folder, now, report)
        _remove_old(folder, now - keep_seconds, report)
    return report


def restore_buckets(storage: Storage, folder: Path) -> Report:
    """Puts the folder's files into the store, except those of which it has an object of the same size.

    Raises StorageUnavailable; MSaaSError if the folder contains no copy.
    """
    report = Report()
    if not any(root.is_dir() for bucket in ALL_BUCKETS for root in _roots(folder, bucket)):
        raise MSaaSError(f"{folder} contains no copy of the buckets")
    with _locked(folder):
        storage.ensure_buckets()
        for bucket in ALL_BUCKETS:
            for root in _roots(folder, bucket):
                for path in _files(root, report):
                    _restore(storage, bucket, path, folder, report)
    return report


def _roots(folder: Path, bucket: str) -> tuple[Path, Path]:
    return folder / bucket, folder / ENCODED / bucket


def _objects(storage: Storage, bucket: str) -> Iterator[StoredObject]:
    try:
        yield from storage.names(bucket)
    except NotFound:
        log.warning("there is no bucket %s", bucket)


def _copy(storage: Storage, bucket: str, found: StoredObject, folder: Path, now: float, report: Report) -> None:
    if found.name.endswith("/") and not found.size:
        return  # a folder, which some stores list
    path: Path | None = None
    try:
        path = path_of(folder, bucket, found.name)
        if _is_current(path, found):
            report.unchanged += 1
        else:
            _download(storage, bucket, found, folder / PARTIAL, path)
            report.transferred += 1
        os.utime(path, (now, now))
    except _Deleted:
        pass
    except (Unusable, StorageRefused, OSError) as error:
        if isinstance(error, OSError) and error.errno not in ERRORS_OF_NAMES:
            raise  # the folder's disk: the next object would fail as well
        report.failed += 1
        report.kept |= {path} if path else set()
        log.error("not copied bucket=%s object=%r reason=%s", bucket, found.name, error)


class _Deleted(Exception):
    """Since it was listed."""


def _is_current(path: Path, found: StoredObject) -> bool:
    try:
        file = path.stat()
    except FileNotFoundError:
        return False
    seen = file.st_mtime - CLOCK_SKEW_SECONDS
    return file.st_size == found.size and found.modified is not None and found.modified.timestamp() < seen


def _download(storage: Storage, bucket: str, found: StoredObject, partial: Path, path: Path) -> None:
    """A file has its name once it is whole and on the disk."""
    size = 0
    with partial.open("wb") as file:
        try:
            for chunk in storage.read_object(bucket, found.name):
                size += file.write(chunk)
        except NotFound as error:
            raise _Deleted from error
        file.flush()
        os.fsync(file.fileno())
    if size != found.size:  # a store may truncate an answer without an error
        raise Unusable(f"the store returned {size} bytes of {found.size}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(path)


def _remove_old(folder: Path, before: float, report: Report) -> None:
    for bucket in ALL_BUCKETS:
        for root in _roots(folder, bucket):
            for path in _files(root, report):
                if path not in report.kept and path.lstat().st_mtime < before:
                    path.unlink()
                    report.removed += 1


def _restore(storage: Storage, bucket: str, path: Path, folder: Path, report: Report) -> None:
    try:
        name, size = name_of(path, folder), _size_of(path)
        stored = storage.stat_object(bucket, name)
        if stored is not None and stored.size == size:
            report.unchanged += 1
        else:
            storage.put_object(bucket, name, path)
            report.transferred += 1
    except (Unusable, StorageRefused, OSError) as error:
        report.failed += 1
        log.error("not restored bucket=%s file=%r reason=%s", bucket, str(path.relative_to(folder)), error)


def _size_of(path: Path) -> int:
    """Raises Unusable or OSError if the file cannot be restored."""
    if not path.is_file():
        raise Unusable("not a file")
    with path.open("rb"):  # the store's client would not say why it cannot
        return path.stat().st_size


def _files(folder: Path, report: Report) -> Iterator[Path]:
    """All files below the folder. A folder that cannot be read is logged and counted."""

    def unreadable(error: OSError) -> None:
        if Path(error.filename) != folder or folder.exists():
            report.failed += 1
            log.error("folder not read path=%s reason=%s", error.filename, error)

    for parent, _, names in os.walk(folder, onerror=unreadable):
        for name in names:
            yield Path(parent, name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One copy at a time. A folder that cannot be written to has no lock: it is only read from."""
    if not os.access(folder, os.W_OK):
        yield
        return
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MSaaSError(f"another copy is at work in {folder}") from error
        yield
