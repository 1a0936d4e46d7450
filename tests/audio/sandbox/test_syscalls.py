"""The filter of system calls, computed here as the kernel does: it is the same whatever this machine is."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest

from msaas.audio.sandbox import syscalls
from msaas.audio.sandbox.syscalls import ALLOW, ALLOWED, MACHINES, NO_TERMINAL, REFUSE, RULES, UNKNOWN

# What such a process must never do, and the numbers of it on x86_64 and aarch64.
NEVER = {
    "socket": (41, 198),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, -1),
    "vfork": (58, -1),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "chmod": (90, -1),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "unlinkat": (263, 35),
    "renameat2": (316, 276),
    "truncate": (76, 45),
    "mount": (165, 40),
    "setns": (308, 268),
    "unshare": (272, 97),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279),
    "inotify_add_watch": (254, 27),
    "sendmsg": (46, 211),
    "pipe2": (293, 59),
}


def verdict(machine, number, *arguments, architecture=None):
    """What the kernel would answer: the few BPF instructions that the filter is made of."""
    steps = list(struct.iter_unpack("=HBBI", syscalls.program(machine)))
    data = struct.pack(
        "<IIQ6Q", number, architecture or MACHINES[machine][0], 0, *arguments, *[0] * (6 - len(arguments))
    )
    at = held = 0
    while True:
        kind, if_true, if_false, value = steps[at]
        at += 1
        match kind:
            case 0x20:
                [held] = struct.unpack_from("<I", data, value)
            case 0x15:
                at += if_true if held == value else if_false
            case 0x35:
                at += if_true if held >= value else if_false
            case 0x45:
                at += if_true if held & value else if_false
            case 0x06:
                return value


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_listed_is_refused(machine):
    column = MACHINES[machine][1]
    allowed = {numbers[column] for numbers in ALLOWED.values()}
    depends = {rule.numbers[column] for rule in RULES.values()}
    assert not allowed & (depends - {-1})
    for number in range(syscalls.NEWER):
        if number not in depends:
            assert verdict(machine, number) == (ALLOW if number in allowed else REFUSE)


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_came_later_and_other_tables_of_calls_are_out_of_reach(machine):
    for number in (*range(424, 500), 0x40000000, 0x40000000 + 41, 0xFFFFFFFF):
        assert verdict(machine, number) == UNKNOWN
    assert verdict(machine, 0, architecture=0x40000003) == REFUSE  # 32-bit calls


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NEVER)
def test_what_a_decoder_must_never_do_is_refused(machine, name):
    number = NEVER[name][MACHINES[machine][1]]
    if number >= 0:
        assert verdict(machine, number, 2**64 - 1, 2**64 - 1, 2**64 - 1) == REFUSE
        assert verdict(machine, number) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC), ALLOW),
        ("openat", (0, 0, os.O_RDONLY | os.O_DIRECTORY), ALLOW),
        ("openat", (0, 0, os.O_WRONLY), REFUSE),
        ("openat", (0, 0, os.O_RDWR), REFUSE),
        ("openat", (0, 0, os.O_RDONLY | os.O_CREAT), REFUSE),
        ("openat", (0, 0, os.O_RDONLY | os.O_TRUNC), REFUSE),
        ("open", (0, os.O_RDONLY), ALLOW),
        ("open", (0, os.O_RDWR), REFUSE),
        ("clone", (0x3D0F00,), ALLOW),  # a thread, as the C library starts it
        ("clone", (0x1200011,), REFUSE),  # a process
        ("fcntl", (0, 1030), ALLOW),
        ("fcntl", (0, 8, 1), REFUSE),  # F_SETOWN
        ("fcntl", (0, 10, 9), REFUSE),  # F_SETSIG
        ("prctl", (15,), ALLOW),
        ("prctl", (4, 1), REFUSE),  # PR_SET_DUMPABLE
        ("prlimit64", (0, 9), ALLOW),
        ("prlimit64", (1, 9), REFUSE),
        ("ioctl", (0, 0x5412), NO_TERMINAL),  # TIOCSTI
    ],
)
def test_calls_that_hang_on_an_argument(machine, name, arguments, answer):
    number = RULES[name].numbers[MACHINES[machine][1]]
    if number >= 0:
        assert verdict(machine, number, *arguments) == answer


HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's header is not here")
def test_numbers_are_the_kernels_own():
    found = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", HEADER.read_text())}
    numbers = {**ALLOWED, **NEVER, **{name: rule.numbers for name, rule in RULES.items()}}
    assert {name: found[name] for name in numbers} == {name: pair[0] for name, pair in numbers.items()}
