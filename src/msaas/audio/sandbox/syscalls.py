"""The seccomp filter (classic BPF) of a decoding process: the system calls it may use. Pure data; loads nothing.

An allow list: calls that read, that use the process's own memory and threads, and that write to descriptors already
open. So the process cannot open a file for writing, start a process or program, make a socket, signal another process,
change its limits, priority or processors, change the mode, owner or times of a file, or keep memory that outlives it
(System V, POSIX queues). Calls not listed return EPERM; calls added after Linux 5.0 return ENOSYS, as in an older
kernel, and the C library falls back to the older call.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# call ▸ its number on x86_64 and on aarch64 (from the kernel's unistd.h); -1: does not exist
ALLOWED = {
    # open descriptors, and opening for reading
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "write": (1, 64),
    "writev": (20, 66),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "getsockopt": (55, 209),
    "getsockname": (51, 204),
    "lseek": (8, 62),
    "close": (3, 57),
    "dup": (32, 23),
    "dup2": (33, -1),
    "dup3": (292, 24),
    "poll": (7, -1),
    "ppoll": (271, 73),
    "select": (23, -1),
    "pselect6": (270, 72),
    "fadvise64": (221, 223),
    "readahead": (187, 213),
    "stat": (4, -1),
    "fstat": (5, 80),
    "lstat": (6, -1),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "access": (21, -1),
    "faccessat": (269, 48),
    "readlink": (89, -1),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents": (78, -1),
    "getdents64": (217, 61),
    # memory
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "get_mempolicy": (239, 236),
    "pkey_mprotect": (329, 288),
    "pkey_alloc": (330, 289),
    "pkey_free": (331, 290),
    # threads and exit
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "set_tid_address": (218, 96),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "arch_prctl": (158, -1),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168),
    # identity and environment
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getpgid": (121, 155),
    "getpgrp": (111, -1),
    "getsid": (124, 156),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "getpriority": (140, 141),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "times": (100, 153),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    # signals to itself, and time
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigsuspend": (130, 133),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "pause": (34, -1),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, -1),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "alarm": (37, -1),
}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
ALLOW = 0x7FFF0000
REFUSE, UNKNOWN, NO_TERMINAL = (0x00050000 | code for code in (errno.EPERM, errno.ENOSYS, errno.ENOTTY))
NEWER = 424  # from here on, numbers are the same on every processor; added in Linux 5.1 and later

_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_THREAD = 0x00010000  # CLONE_THREAD
_NAME_THREAD = 15  # PR_SET_NAME
# F_DUPFD to F_SETFL, F_DUPFD_CLOEXEC; not F_SETOWN, which makes the kernel signal a process
_OF_DESCRIPTORS = (0, 1, 2, 3, 4, 1030)


@dataclass(frozen=True)
class Rule:
    """A call decided by its argument number `argument`: `matched` if it matches any of `values`, else `otherwise`."""

    numbers: tuple[int, int]
    argument: int
    test: int
    values: tuple[int, ...]
    matched: int = ALLOW
    otherwise: int = REFUSE


RULES = {
    "open": Rule((2, -1), 1, _ANY_BIT, (_TO_WRITE,), matched=REFUSE, otherwise=ALLOW),
    "openat": Rule((257, 56), 2, _ANY_BIT, (_TO_WRITE,), matched=REFUSE, otherwise=ALLOW),
    "clone": Rule((56, 220), 0, _ANY_BIT, (_THREAD,)),
    "fcntl": Rule((72, 25), 1, _EQUAL, _OF_DESCRIPTORS),
    "prctl": Rule((157, 167), 0, _EQUAL, (_NAME_THREAD,)),
    "prlimit64": Rule((302, 261), 0, _EQUAL, (0,)),  # on itself only
    "ioctl": Rule((16, 29), 0, _EQUAL, (), otherwise=NO_TERMINAL),
}
# machine ▸ the kernel's name for its system call table (AUDIT_ARCH_…), and the column of numbers above
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

Step = tuple[int, int, int, int]  # struct sock_filter: code, jump if true, jump if false, value


def program(machine: str) -> bytes:
    architecture, column = MACHINES[machine]
    steps = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, REFUSE)]
    # x32, a second table of x86_64, is also above NEWER
    steps += [(_LOAD, 0, 0, _NUMBER_AT), (_AT_LEAST, 0, 1, NEWER), (_RETURN, 0, 0, UNKNOWN)]
    for numbers in ALLOWED.values():
        if numbers[column] >= 0:
            steps += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, ALLOW)]
    for rule in RULES.values():
        if rule.numbers[column] >= 0:
            steps += _block(rule.numbers[column], rule)
    steps.append((_RETURN, 0, 0, REFUSE))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _block(number: int, rule: Rule) -> Iterator[Step]:
    """Always ends in a verdict. Tests the lower half of an argument, which is all the kernel uses of these."""
    count = len(rule.values)
    yield _EQUAL, 0, count + 3, number
    yield _LOAD, 0, 0, _ARGUMENTS_AT + 8 * rule.argument
    for at, value in enumerate(rule.values):
        yield rule.test, count - at, 0, value
    yield _RETURN, 0, 0, rule.otherwise
    yield _RETURN, 0, 0, rule.matched
