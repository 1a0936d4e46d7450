"""Decoding in a fenced process: the same samples, and whatever happens there stays there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from msaas.audio.decode.decoder import Decoder
from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher, restrictions
from msaas.audio.sandbox.client import ask
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.errors import AudioTooLong, ChildDied, DecodedTooLarge, NotAudio
from msaas.settings.credentials import without_credentials
from tests.support.audio.sounds import DATA

SONG = DATA / "harbour-lights.mp3"
RATE = 44_100


@pytest.fixture(autouse=True, scope="module")
def _no_helper_left():
    yield
    launcher.stop()


def isolated(path, **limits):
    return IsolatedDecoder(path, sample_rate=RATE, channels=2, limits=Limits(**limits))


def child_of_helper():
    tasks = Path(f"/proc/{launcher.current().pid}/task/{launcher.current().pid}/children")
    return [int(pid) for pid in tasks.read_text().split()]


def gone(seconds=60):
    deadline = time.monotonic() + seconds
    while child_of_helper() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not child_of_helper()


def test_fenced_decoder_gives_the_same_samples_and_the_same_report():
    here, there = Decoder(SONG, sample_rate=RATE, channels=2), isolated(SONG)
    assert np.array_equal(np.concatenate(list(here.blocks()), axis=1), np.concatenate(list(there.blocks()), axis=1))
    assert here.report == there.report


def test_fenced_decoder_starts_anew_at_each_call():
    decoder = isolated(SONG)
    assert [sum(block.shape[1] for block in decoder.blocks()) for _ in range(2)] == [1_679_895] * 2


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"max_duration_seconds": 2}, AudioTooLong),
        ({"max_decoded_bytes": 500_000}, DecodedTooLarge),
    ],
)
def test_limits_hold_behind_the_fence(limits, error):
    with pytest.raises(error):
        list(isolated(SONG, **limits).blocks())


def test_decoding_that_takes_too_much_memory_is_the_songs_stated_fault(tmp_path, music, write_song):
    """A quarter of a minute in one packet, where a megabyte is allowed."""
    path = write_song(tmp_path / "a", music(1_300_000, 2), codec="pcm_f64le", container="nut")
    with pytest.raises((DecodedTooLarge, NotAudio)):
        list(isolated(path, memory_bytes=1_000_000).blocks())
    assert sum(block.shape[1] for block in isolated(path).blocks()) == 1_300_000


def test_missing_song_is_not_the_songs_fault(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(isolated(tmp_path / "none").blocks())


def kill_in_mid_song(number):
    blocks = isolated(SONG).blocks()
    next(blocks)
    [child] = child_of_helper()
    os.kill(child, number)
    return blocks


def test_killed_from_outside_is_worth_another_run_and_the_next_song_decodes():
    with pytest.raises(ChildDied):
        list(kill_in_mid_song(signal.SIGKILL))
    assert sum(block.shape[1] for block in isolated(SONG).blocks()) == 1_679_895


def test_signal_that_only_the_file_can_have_caused_is_the_songs_fault():
    with pytest.raises(NotAudio, match="crashed the decoder"):
        list(kill_in_mid_song(signal.SIGSEGV))


def test_killed_helper_is_worth_another_run_and_the_next_song_decodes():
    """What it forked ends with it."""
    blocks = isolated(SONG).blocks()
    next(blocks)
    os.kill(launcher.current().pid, signal.SIGKILL)
    with pytest.raises(ChildDied):
        list(blocks)
    assert sum(block.shape[1] for block in isolated(SONG).blocks()) == 1_679_895


def test_abandoned_song_leaves_no_process():
    blocks = isolated(SONG).blocks()
    next(blocks)
    blocks.close()
    assert gone()


def test_file_that_gives_nothing_for_too_long_is_ended(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "endless")
    monkeypatch.setattr("msaas.audio.sandbox.decoder.STALL_SECONDS", 0.3)
    with pytest.raises(NotAudio, match=r"within 0\.3 seconds"):
        list(isolated(tmp_path / "endless").blocks())


def test_slow_caller_is_no_stall(monkeypatch):
    monkeypatch.setattr("msaas.audio.sandbox.decoder.STALL_SECONDS", 0.3)
    blocks = isolated(SONG).blocks()
    next(blocks)
    time.sleep(0.8)
    assert sum(block.shape[1] for block in blocks) > 1_500_000


# --- the fences

needs_fences = pytest.mark.skipif(
    set(restrictions.detect()) != {restrictions.LANDLOCK, restrictions.SECCOMP},
    reason="left out: this kernel has not all fences",
)

TRIES = """
import ctypes, fcntl, os, resource, signal, socket, subprocess, sys, _thread
from pathlib import Path
from msaas.audio.sandbox import restrictions

song, other, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
read, write = os.pipe()
parent = os.getpid()

def kernel(name, *arguments):
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

tries = {
    "song": lambda: song.read_bytes(),
    "thread": lambda: _thread.start_new_thread(int, ()),
    "other file": lambda: Path("/etc/passwd").read_bytes(),
    "neighbour": lambda: other.read_bytes(),
    "write": lambda: Path(f"{song}.new").write_bytes(b"x"),
    "write to the song": lambda: song.open("r+b"),
    "cut the song": lambda: os.truncate(song, 0),
    "delete": lambda: other.unlink(),
    "mode": lambda: other.chmod(0o777),
    "owner": lambda: os.chown(other, os.getuid(), os.getgid()),
    "times": lambda: os.utime(other),
    "attribute": lambda: os.setxattr(other, "user.x", b"1"),
    "list": lambda: os.listdir(other.parent),
    "list all": lambda: os.listdir("/"),
    "environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
    "own environment": lambda: Path("/proc/self/environ").read_bytes(),
    "tcp": lambda: socket.create_connection(("127.0.0.1", port), 2),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "pair": lambda: socket.socketpair(),
    "pipe": lambda: os.pipe(),
    "memory file": lambda: os.memfd_create("x"),
    "shared memory": lambda: kernel("shmget", 0, 4096, 0o1600),
    "message queue": lambda: kernel("msgget", 0, 0o1600),
    "semaphore": lambda: kernel("semget", 0, 1, 0o1600),
    "process": lambda: os.fork() or os._exit(0),
    "program": lambda: subprocess.run(["/bin/true"], check=True),
    "this program": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(parent, 0),
    "signal of the kernel": lambda: fcntl.fcntl(write, fcntl.F_SETOWN, parent),
    "limit of another": lambda: resource.prlimit(parent, resource.RLIMIT_CPU),
    "own limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)),
    "priority of another": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "processors of another": lambda: os.sched_setaffinity(parent, {0}),
    "session": lambda: os.setsid(),
    "root": lambda: os.chroot("/"),
    "user": lambda: os.setuid(os.getuid()),
    "watch": lambda: kernel("inotify_init"),
    "terminal": lambda: os.tcgetpgrp(write),
    "memory": lambda: bytearray(600 << 20),
}
if os.fork() == 0:
    restrictions.enter(song, restrictions.ResourceLimits(512 << 20, 20, 20))
    for name, attempt in tries.items():
        try:
            attempt()
            os.write(write, f"{name},".encode())
        except (OSError, ValueError, MemoryError, subprocess.SubprocessError):
            pass
    os._exit(0)
os.close(write)
print(os.fdopen(read).read())
"""


@needs_fences
def test_behind_the_fence_there_is_the_song_and_nothing_else(tmp_path):
    (tmp_path / "song").write_bytes(b"song")
    (tmp_path / "other").write_bytes(b"another's song")
    with socket.create_server(("127.0.0.1", 0)) as server:
        paths = [str(tmp_path / "song"), str(tmp_path / "other"), str(server.getsockname()[1])]
        done = subprocess.run([sys.executable, "-c", TRIES, *paths], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "song,thread,", done.stderr


def test_helper_is_started_without_credentials(monkeypatch):
    launcher.stop()
    monkeypatch.setenv("MINIO_SECRET_KEY", "a secret of the store")
    monkeypatch.setenv("MSAAS_REDIS_PASSWORD", "a secret of the queue")
    list(isolated(SONG).blocks())
    environment = Path(f"/proc/{launcher.current().pid}/environ").read_bytes()
    assert b"a secret" not in environment
    assert b"PATH=" in environment


def test_helper_forks_with_one_thread_whatever_it_has_loaded():
    ask(SONG, Limits(), 60, 60)
    list(isolated(SONG).blocks())
    assert len(list(Path(f"/proc/{launcher.current().pid}/task").iterdir())) == 1


def test_fences_are_tried_out_in_a_process_of_their_own():
    """Here threads run (NumPy's, at least this one), and behind the fences nothing could be started any more."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stand = restrictions.detect()
    done.set()
    thread.join()
    told = subprocess.run(
        [sys.executable, "-P", "-m", "msaas.audio.sandbox.restrictions"], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["limits", *stand]


def test_credentials_are_known_by_their_names():
    given = {"MINIO_ACCESS_KEY": "1", "MSAAS_CALLBACK_SECRETS": "2", "MSAAS_REDIS_PASSWORD": "3", "MSAAS_MODEL": "4"}
    assert without_credentials(given) == {"MSAAS_MODEL": "4"}
