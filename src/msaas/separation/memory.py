"""How glibc handles this process' memory. Does nothing where there is no glibc."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# <malloc.h>, and what PROCESS_ENVIRONMENT says by name. The largest threshold that mallopt's int holds is 2 GiB.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


def keep() -> None:
    """Keeps what is freed, as PROCESS_ENVIRONMENT does for a process to come. To be called before torch loads."""
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        for parameter, value in _KEPT.items():
            mallopt(parameter, value)


def give_back() -> None:
    """Gives the kernel what is free, kept or not."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


@contextmanager
def given_back_after() -> Iterator[None]:
    """What is kept for one song is not kept until the next, which may be hours away."""
    try:
        yield
    finally:
        give_back()


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
