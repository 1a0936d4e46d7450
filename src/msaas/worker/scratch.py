"""A temporary folder per run, deleted with it; folders of killed workers are swept. Independent of jobs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from msaas import scratch

PREFIX = "msaas-run-"


def scratch_folder(parent: Path, name: str) -> AbstractContextManager[Path]:
    """A folder locked while this process lives. Raises OSError if it cannot be created."""
    return scratch.locked_folder(parent, f"{PREFIX}{name}-")


def sweep(parent: Path) -> int:
    """Deletes the folders of killed workers; returns their number."""
    return scratch.sweep(parent, PREFIX)
