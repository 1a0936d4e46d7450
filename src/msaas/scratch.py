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

# between the creation of a file or folder and its lock, during which another process's sweep must not delete it
UNLOCKED_SECONDS = 2


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
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path, prefix: str) -> int:
    """Deletes the files and folders of this prefix that no process has locked (flock), and returns their number."""
    return sum(_remove_stray(path) for path in parent.glob(f"{prefix}*"))


def _remove_stray(path: Path) -> bool:
    with suppress(OSError):  # locked: in use; or already deleted
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if time.time() - os.fstat(lock).st_mtime < UNLOCKED_SECONDS:
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
