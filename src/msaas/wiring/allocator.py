"""Settings of the C library's allocator for processes with many threads."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

M_ARENA_MAX = -8  # malloc.h
ARENAS = 2


def limit_arenas(environ: Mapping[str, str]) -> bool:
    """Must be called before the first thread starts. Returns whether the limit was set: only by glibc, and not if the
    environment has one.

    By default glibc makes eight arenas per core, and each keeps as much freed memory as its busiest moment needed: the
    API's memory then rises for hours, as a leak would. Threads that share Python's lock rarely wait for an arena.
    """
    if "MALLOC_ARENA_MAX" in environ or "arena_max" in environ.get("GLIBC_TUNABLES", ""):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # musl and macOS: no arenas of this kind
        return False
    return bool(library.mallopt(M_ARENA_MAX, ARENAS))
