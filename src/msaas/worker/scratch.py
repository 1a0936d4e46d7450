"""One folder a run for temporary files, gone with the run; what a killed worker left is swept. Knows no jobs."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msaas import scratch

PREFIX = "msaas-run-"


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
    return scratch.sweep(parent, PREFIX)
