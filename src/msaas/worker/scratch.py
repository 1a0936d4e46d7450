"""One folder a run for temporary files, gone with the run; what a killed worker left is swept. Knows no jobs."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "msaas-run-"
# between a folder's making and its lock: another worker's sweep must not take it for a stray
UNLOCKED_SECONDS = 2


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder that is locked as long as this process lives. Raises OSError where it cannot be made."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=parent))
    try:
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> int:
    """Deletes the folders of workers that were killed in mid-run and says how many there were."""
    return sum(_remove_stray(folder) for folder in parent.glob(f"{PREFIX}*"))


def _remove_stray(folder: Path) -> bool:
    with suppress(OSError):  # locked: in use; or gone already
        lock = os.open(folder, os.O_RDONLY)
        try:
            if time.time() - folder.stat().st_mtime < UNLOCKED_SECONDS:
                return False
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            return True
        finally:
            os.close(lock)
    return False
