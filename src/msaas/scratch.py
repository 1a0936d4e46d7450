"""The folder for temporary files: checks that it is writable, and sweeps files of killed processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msaas.errors import SettingsError

# until a hidden file or folder, whose process was killed before it was locked, is swept
UNLOCKED_SECONDS = 60


def check_writable(folder: Path) -> None:
    """Creates the folder if necessary. Raises SettingsError, but not for a full disk, which is temporary."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return
        reason = error.strerror or error
        raise SettingsError(
            f"MSAAS_SCRATCH_DIR={str(folder)!r} is not usable: nothing can be written there: {reason}"
        ) from error


@contextmanager
def locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder locked while this process lives. Raises OSError if it cannot be created."""
    folder = Path(tempfile.mkdtemp(prefix=hidden(prefix), dir=parent))
    try:
        lock = os.open(folder, os.O_RDONLY)
        try:
            folder = locked(folder, lock)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hidden(prefix: str) -> str:
    """The prefix of a file or folder that is not locked yet."""
    return f".{prefix}"


def locked(path: Path, descriptor: int) -> Path:
    """Locks a file or folder with a hidden prefix, open as `descriptor`, and returns its new name, without the dot.

    What has such a name is locked as long as its process lives, so that a sweep may delete it at any age otherwise.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return path.rename(path.with_name(path.name.removeprefix(".")))


def sweep(parent: Path, prefix: str) -> int:
    """Deletes the files and folders of this prefix that no process has locked (flock), and returns their number."""
    strays = sum(_remove_stray(path) for path in parent.glob(f"{prefix}*"))
    return strays + sum(_remove_stray(path, UNLOCKED_SECONDS) for path in parent.glob(f"{hidden(prefix)}*"))


def _remove_stray(path: Path, min_age_seconds: float = 0) -> bool:
    with suppress(OSError):  # locked: in use; or already deleted
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if min_age_seconds and time.time() - os.fstat(lock).st_mtime < min_age_seconds:
                return False
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
            return True
        finally:
            os.close(lock)
    return False
