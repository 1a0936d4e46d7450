"""A temporary folder per run, deleted with it; folders of killed workers are swept. Independent of jobs."""

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
    """A folder locked while this process lives. Raises OSError if it cannot be created."""
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
    """Deletes the folders of killed workers; returns their number."""
    return scratch.sweep(parent, PREFIX)
