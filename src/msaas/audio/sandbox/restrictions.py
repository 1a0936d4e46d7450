"""Restricts a process that reads uploaded files. Complete on Linux; old kernels and other systems have fewer
restrictions.

A compromised decoder can still read the one song, compute within its limits, answer, and test whether a file of a
guessed name exists. It cannot open another file (except code: the standard library, PyAV, NumPy and MSaaS), change any,
use the network, start a process or program, inspect, signal or slow another process, use much memory, leave any behind,
or run long.

`python -m msaas.audio.sandbox.restrictions` lists the restrictions available on this machine.
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
    """`memory_bytes`: address space beyond the current size; `seconds`: clock time, 0 if the caller sets the alarm."""

    memory_bytes: int
    cpu_seconds: float
    seconds: float = 0.0


def enter(song: Path, limits: ResourceLimits) -> list[str]:
    """Restricts this process until it ends. Returns the active kernel restrictions. Raises OSError if the song is
    missing."""
    limit(limits)
    with _opened(song, os.O_RDONLY | os.O_NONBLOCK) as file:
        if not _is_supported():
            return []
        _give_up_privileges()
        active = [(LANDLOCK, _landlock(file)), (SECCOMP, _seccomp())]
    return [name for name, is_active in active if is_active]


def _give_up_privileges() -> None:
    """Drops all capabilities except reading other users' files, since the song may be one, and disables core dumps,
    which some systems pipe into a program regardless of the limit."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    head, sets = struct.pack("=Ii", _CAPABILITY_VERSION, 0), ctypes.create_string_buffer(24)
    if _libc.capget(head, sets) == 0:
        held = struct.unpack("=6I", sets.raw)[1] & _DAC_READ_SEARCH
        _libc.capset(head, struct.pack("=6I", held, held, 0, 0, 0, 0))


def end_with_parent(parent: int) -> None:
    """Ends this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the line above
        os._exit(0)


def _is_supported() -> bool:
    """On other systems these numbers are other calls."""
    return sys.platform == "linux" and platform.machine() in syscalls.MACHINES


# --- resource limits, on every system


def limit(limits: ResourceLimits) -> None:
    if limits.seconds:
        set_alarm(limits.seconds)
    # SIGXCPU at the soft limit names the reason; SIGKILL at the hard limit does not.
    lower(resource.RLIMIT_CPU, max(ceil(limits.cpu_seconds), 1), more=5)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    with contextlib.suppress(OSError):  # macOS has neither /proc nor this limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        lower(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory_bytes)


def set_alarm(seconds: float) -> None:
    """The signal's default action ends the process, even within C code. 0: no alarm."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def lower(kind: int, value: int, more: int = 0) -> None:
    _soft, hard = resource.getrlimit(kind)
    highest = value + more if hard == resource.RLIM_INFINITY else min(value + more, hard)
    resource.setrlimit(kind, (min(value, highest), highest))


# --- Landlock: no file but the song, no TCP, no signal or ptrace to other processes (Linux 5.13, 6.7, 6.12)

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every processor
_GET_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE = 1 << 2
_READ_FOLDER = _READ_FILE | 1 << 3
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # number of rights by version; later versions added none
_NET_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPE_SINCE, _SCOPES = 6, 0b11


def _landlock(song: int) -> bool:
    version = int(_libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION))
    return version > 0 and _restrict(version, song)


def _restrict(version: int, song: int) -> bool:
    rights = (1 << _FS_RIGHTS[min(version, 5)]) - 1
    net = _TCP_RIGHTS if version >= _NET_SINCE else 0
    scopes = _SCOPES if version >= _SCOPE_SINCE else 0
    words = 3 if scopes else 2 if net else 1  # the kernel rejects unknown fields
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
    """The standard library, MSaaS and the packages that decode, where this process found them.

    All that decoding needs is imported before the restrictions (fork_server.serve); this is for lazy imports in later
    releases of Python or PyAV. Not the folders in sys.path: a home or a folder of songs may be among them.
    """
    folders = [Path(sysconfig.get_path("stdlib")), Path(__file__).parents[2]]
    folders += [Path(entry) for entry in sys.path if Path(entry).name == "lib-dynload"]
    for name in _PACKAGES:
        for place in getattr(sys.modules.get(name), "__path__", ()):
            folders += [Path(place), Path(place).with_name(f"{name}.libs")]  # next to it: the libraries of wheels
    return folders


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags)
    try:
        yield file
    finally:
        os.close(file)


# --- seccomp: system calls that decoding does not need return EPERM (msaas.audio.sandbox.syscalls)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _seccomp() -> bool:
    code = syscalls.program(platform.machine())
    program = _Program(len(code) // 8, code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)


def detect() -> list[str]:
    """The kernel restrictions that work here.

    Tested in a new process, since restrictions are permanent; not in a fork, since forking a process with threads can
    deadlock.
    """
    command, environ = (
        interpreter.command("-m", "msaas.audio.sandbox.restrictions", _ENTER),
        interpreter.environment(os.environ),
    )
    return subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False).stdout.split()


_ENTER = "--enter"

if __name__ == "__main__":
    names = enter(Path(__file__), ResourceLimits(1 << 30, 60)) if _ENTER in sys.argv else ["limits", *detect()]
    sys.stdout.write(f"{' '.join(names)}\n")
