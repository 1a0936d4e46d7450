"""Turns "disk full" errors into ScratchFull."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from msaas.errors import ScratchFull


@contextmanager
def full_disk_as_scratch_full(path: Path) -> Iterator[None]:
    """Raises ScratchFull for ENOSPC and EDQUOT, from Python or FFmpeg; other errors propagate."""
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ScratchFull(f"no space left in {path.parent} while writing {path.name}") from error
