"""Configures glibc's memory allocation in this process. No effect without glibc."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# From <malloc.h>; the same settings as PROCESS_ENVIRONMENT. The largest threshold that mallopt's int holds is 2 GiB.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


def keep_freed() -> None:
    """Keeps freed memory in this process, as PROCESS_ENVIRONMENT does for a new one. Call it before torch is
    imported."""
    mallopt = _glibc_function("mallopt")
    if mallopt is not None:
        for parameter, value in _KEPT.items():
            mallopt(parameter, value)


def trim_heap() -> None:
    """Returns free memory to the kernel."""
    trim = _glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


@contextmanager
def heap_trimmed_after() -> Iterator[None]:
    """Returns a song's memory at its end: the next song may be hours away."""
    try:
        yield
    finally:
        trim_heap()


def _glibc_function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
