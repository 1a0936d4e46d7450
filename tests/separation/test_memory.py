"""What is freed is kept where that was asked for, and given back at a word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import sys
from pathlib import Path
from msaas.separation import memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20

if sys.argv[1] == "kept":
    memory.keep_freed()
before = resident_mib()
block = bytearray(256 << 20)
del block
freed = resident_mib()
memory.trim_heap()
print(freed - before, resident_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's affair")
@pytest.mark.parametrize(("how", "kept_mib"), [("kept", 256), ("left as it was", 0)])
def test_freed_memory(how, kept_mib) -> None:
    told_nothing = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", SCRIPT, how]
    said = subprocess.run(command, env=told_nothing, capture_output=True, text=True, check=True).stdout
    freed, given_back = map(int, said.split())
    assert freed == pytest.approx(kept_mib, abs=16)
    assert given_back == pytest.approx(0, abs=16)
