"""The number of glibc's arenas in a process with many threads."""

import os
import platform
import subprocess
import sys

import pytest

from msaas.interpreter import command, environment
from msaas.wiring.allocator import ARENAS, limit_arenas

# Each thread allocates at the same time as the others; malloc_info then lists the arenas.
COUNT_ARENAS = """
import ctypes, os, sys, tempfile, threading
from msaas.wiring.allocator import limit_arenas
print(limit_arenas(os.environ))
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
barrier = threading.Barrier(12)
def work():
    barrier.wait()
    libc.malloc(100)
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[one.start() for one in threads]
[one.join() for one in threads]
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().decode().count("<heap nr="))
"""
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")


def arenas(**more: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    ran = subprocess.run(
        command("-c", COUNT_ARENAS), env=environment(clean | more), capture_output=True, text=True, check=True
    )
    limited, count = ran.stdout.split()
    return limited, int(count)


@needs_glibc
@pytest.mark.skipif(sys.platform != "linux", reason="arenas of glibc")
def test_many_threads_share_two_arenas():
    limited, count = arenas()
    assert limited == "True"
    assert 1 <= count <= ARENAS


@needs_glibc
def test_a_limit_in_the_environment_is_kept():
    limited, count = arenas(MALLOC_ARENA_MAX="7")
    assert limited == "False"
    assert ARENAS < count <= 7


def test_tunables_of_glibc_are_kept():
    assert not limit_arenas({"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"})
