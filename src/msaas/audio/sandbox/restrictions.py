"""Fences around a process that reads strangers' files, for Linux; elsewhere, and in old kernels, fewer of them stand.

What a decoder that was taken over could still do: read the one song, compute within its limits, and answer; see whether
a file of a name that it guesses is there. Not: open another file (but for code: the standard library, PyAV, NumPy and
MSaaS), change any, speak to any network, start a process or a program, look into, signal or slow another process, hold
much memory, leave any behind, run long.
`python -m msaas.audio.sandbox.restrictions` tells which fences this machine allows.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import stat
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from msaas import interpreter
from msaas.audio.sandbox import syscalls

LANDLOCK, SECCOMP = "landlock", "seccomp"

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_CAPABILITY_VERSION, _DAC_READ_SEARCH = 0x20080522, 1 << 2
_OPEN_FILES = 64
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ResourceLimits:
    """`memory_bytes` of address space beyond what the process has; `seconds` on the clock, 0 where it is set apart."""

    memory_bytes: int
    cpu_seconds: float
    seconds: float = 0.0


def enter(song: Path, allowance: ResourceLimits) -> list[str]:
    """For the rest of this process' life. Says which of the kernel's fences stand. OSError where there is no song."""
    limit(allowance)
    with _opened(song, os.O_RDONLY | os.O_NONBLOCK) as file:
        if not _on_linux():
            return []
        _give_up_privileges()
        stand = [(LANDLOCK, _landlock(file)), (SECCOMP, _seccomp())]
    return [name for name, stands in stand if stands]


def _give_up_privileges() -> None:
    """No capability but to read files of other users, since the song may be one; no core dump, which some systems pipe
    into a program whatever the limit says."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    head, sets = struct.pack("=Ii", _CAPABILITY_VERSION, 0), ctypes.create_string_buffer(24)
    if _libc.capget(head, sets) == 0:
        held = struct.unpack("=6I", sets.raw)[1] & _DAC_READ_SEARCH
        _libc.capset(head, struct.pack("=6I", held, held, 0, 0, 0, 0))


def die_with(parent: int) -> None:
    """This process ends when its parent does (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(0)


def _on_linux() -> bool:
    """Elsewhere the same numbers are other calls."""
    return sys.platform == "linux" and platform.machine() in syscalls.MACHINES


# --- limits, which every system knows


def limit(allowance: ResourceLimits) -> None:
    if allowance.seconds:
        set_alarm(allowance.seconds)
    # At the lower limit SIGXCPU, which says why; at the upper one SIGKILL, which does not.
    lower(resource.RLIMIT_CPU, max(ceil(allowance.cpu_seconds), 1), more=5)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    with contextlib.suppress(OSError):  # macOS has no /proc, and no such limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        lower(resource.RLIMIT_AS, pages * resource.getpagesize() + allowance.memory_bytes)


def set_alarm(seconds: float) -> None:
    """Its default action ends the process, in the midst of C code too. 0: no alarm."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def lower(kind: int, value: int, more: int = 0) -> None:
    _soft, hard = resource.getrlimit(kind)
    highest = value + more if hard == resource.RLIM_INFINITY else min(value + more, hard)
    resource.setrlimit(kind, (min(value, highest), highest))


# --- landlock: no file but the song, no TCP, no signal or ptrace beyond this process (Linux 5.13, 6.7, 6.12)

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every processor
_GET_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE = 1 << 2
_READ_FOLDER = _READ_FILE | 1 << 3
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many each version knows; later ones added none
_NET_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPE_SINCE, _SCOPES = 6, 0b11


def _landlock(song: int) -> bool:
    version = int(_libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION))
    return version > 0 and _restrict(version, song)


def _restrict(version: int, song: int) -> bool:
    rights = (1 << _FS_RIGHTS[min(version, 5)]) - 1
    net = _TCP_RIGHTS if version >= _NET_SINCE else 0
    scopes = _SCOPES if version >= _SCOPE_SINCE else 0
    words = 3 if scopes else 2 if net else 1  # the kernel refuses fields that it does not know
    attributes = struct.pack("=QQQ", rights, net, scopes)[: 8 * words]
    ruleset = int(_libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    if ruleset < 0:
        return False
    try:
        _allow(ruleset, song)
        for folder in code_folders():
            with contextlib.suppress(OSError), _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as file:
                _allow(ruleset, file)
        return int(_libc.syscall(_RESTRICT_SELF, ruleset, 0)) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, file: int) -> None:
    rights = _READ_FOLDER if stat.S_ISDIR(os.fstat(file).st_mode) else _READ_FILE
    _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, file), 0)


_PACKAGES = ("av", "numpy")


def code_folders() -> list[Path]:
    """The standard library, MSaaS and the packages that decode, each where this process found it.

    All that decoding needs is imported before the fences close (fork_server.serve); this is for what a later release of
    Python or PyAV may import late. Not the folders that sys.path names: a home or a folder of songs may be among them.
    """
    folders = [Path(sysconfig.get_path("stdlib")), Path(__file__).parents[2]]
    folders += [Path(entry) for entry in sys.path if Path(entry).name == "lib-dynload"]
    for name in _PACKAGES:
        for place in getattr(sys.modules.get(name), "__path__", ()):
            folders += [Path(place), Path(place).with_name(f"{name}.libs")]  # beside it: libraries that wheels bring
    return folders


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags)
    try:
        yield file
    finally:
        os.close(file)


# --- seccomp: what decoding has no use for answers EPERM (msaas.audio.sandbox.syscalls)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _seccomp() -> bool:
    code = syscalls.program(platform.machine())
    program = _Program(len(code) // 8, code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)


def try_out() -> list[str]:
    """Which of the kernel's fences stand here. Asked of a new process, since nothing leads out of them again; not of a
    fork, since a fork of a process with threads can deadlock."""
    command, environ = (
        interpreter.command("-m", "msaas.audio.sandbox.restrictions", _ENTER),
        interpreter.environment(os.environ),
    )
    return subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False).stdout.split()


_ENTER = "--enter"

if __name__ == "__main__":
    names = enter(Path(__file__), ResourceLimits(1 << 30, 60)) if _ENTER in sys.argv else ["limits", *try_out()]
    sys.stdout.write(f"{' '.join(names)}\n")
