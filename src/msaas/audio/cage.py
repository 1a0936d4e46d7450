"""Fences around a process that reads strangers' files, for Linux; elsewhere, and in old kernels, fewer of them stand.

What a decoder that was taken over could still do: read the one song, compute within its limits, and answer. Not: open
another file (but for code: the standard library, PyAV, NumPy and MSaaS), speak to any network, start a program, look
into or signal another process, hold much memory, run long.
`python -m msaas.audio.cage` tells which fences this machine allows.
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

LANDLOCK, SECCOMP = "landlock", "seccomp"

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Allowance:
    """`memory_bytes` of address space beyond what the process has; `seconds` on the clock, 0 where it is set apart."""

    memory_bytes: int
    cpu_seconds: float
    seconds: float = 0.0


def enter(song: Path, allowance: Allowance) -> list[str]:
    """For the rest of this process' life. Says which of the kernel's fences stand. OSError where there is no song."""
    limit(allowance)
    with _opened(song, os.O_RDONLY | os.O_NONBLOCK) as file:
        if not _on_linux():
            return []
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        stand = [(LANDLOCK, _landlock(file)), (SECCOMP, _seccomp())]
    return [name for name, stands in stand if stands]


def _on_linux() -> bool:
    """Elsewhere the same numbers are other calls."""
    return sys.platform == "linux" and platform.machine() in REFUSED


# --- limits, which every system knows


def limit(allowance: Allowance) -> None:
    if allowance.seconds:
        set_alarm(allowance.seconds)
    # At the lower limit SIGXCPU, which says why; at the upper one SIGKILL, which does not.
    _lower(resource.RLIMIT_CPU, max(ceil(allowance.cpu_seconds), 1), more=5)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    with contextlib.suppress(OSError):  # macOS has no /proc, and no such limit
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + allowance.memory_bytes)


def set_alarm(seconds: float) -> None:
    """Its default action ends the process, in the midst of C code too. 0: no alarm."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _lower(kind: int, value: int, more: int = 0) -> None:
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

    All that decoding needs is imported before the fences close (helper.serve); this is for what a later release of
    Python or PyAV may import late. Not the folders that sys.path names: a home or a folder of songs may be among them.
    """
    folders = [Path(sysconfig.get_path("stdlib")), Path(__file__).parents[1]]
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


# --- seccomp: what decoding has no use for answers EPERM

# call ▸ its number on x86_64 and on aarch64
_CALLS = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
}
# machine ▸ the kernel's name for its table of calls (AUDIT_ARCH_…) and the numbers of _CALLS there
REFUSED = {
    "x86_64": (0xC000003E, {name: here for name, (here, _) in _CALLS.items()}),
    "aarch64": (0xC00000B7, {name: here for name, (_, here) in _CALLS.items()}),
}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # ERRNO with EPERM
_X32 = 0x40000000  # the calls of a second, older table begin here


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _seccomp() -> bool:
    code = _filter(*REFUSED[platform.machine()])
    program = _Program(len(code) // 8, code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)


def _filter(architecture: int, numbers: dict[str, int]) -> bytes:
    """A classic BPF program: struct sock_filter is (code, jump if true, jump if false, value)."""
    count = len(numbers)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, count + 3, architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, count + 1, 0, _X32),
    ]
    for at, number in enumerate(sorted(numbers.values())):
        steps.append((_EQUAL, count - at, 0, number))
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def try_out() -> list[str]:
    """Which of the kernel's fences stand here. Asked of a new process, since nothing leads out of them again; not of a
    fork, since a fork of a process with threads can deadlock. Needs no more than this file and the standard library."""
    command = [sys.executable, "-I", __file__, _ENTER]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.split()


_ENTER = "--enter"

if __name__ == "__main__":
    names = enter(Path(__file__), Allowance(1 << 30, 60)) if _ENTER in sys.argv else ["limits", *try_out()]
    sys.stdout.write(f"{' '.join(names)}\n")
