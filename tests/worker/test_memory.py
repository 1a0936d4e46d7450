"""What the separation process may take, and what becomes of a song that needs more. The real one, htdemucs_mini."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from msaas.errors import ChildDied, ModelUnavailable, SandboxError
from msaas.options import Options
from msaas.worker.child import _failed_start, is_out_of_memory
from msaas.worker.memory import data_bytes
from msaas.worker.process import SeparationProcess, TaskFailed
from msaas.worker.protocol import Task
from tests.support.audio.sounds import flac, tune

# Beyond what the loaded process holds, which depends on torch's build. Measured, with CUDA's build and without, in MB:
# loading takes 50 for a while, a song of one segment 200.
BETWEEN, PLENTY = 100_000_000, 4_000_000_000


@pytest.fixture
def process(small_model, monkeypatch):
    for name, value in {
        "MINIO_SECRET_KEY": "a secret of the store",
        "MSAAS_REDIS_PASSWORD": "a secret of the queue",
        "MSAAS_CALLBACK_SECRETS": "",
    }.items():
        monkeypatch.setenv(name, value)
    process = SeparationProcess(stall_seconds=120)
    yield process
    process.kill()


def separate(process, folder, seconds):
    song = folder / "song"
    song.write_bytes(flac(tune(seconds)))
    assert process.ensure_ready(lambda: False), process.not_ready_reason
    options = Options.parse({}, default_model="htdemucs_mini", allowed=("htdemucs_mini",))
    return process.separate(Task(song, folder / "stems", options), lambda: False, lambda _stage, _fraction: None)


def held_bytes(process):
    """By the process with its model loaded: what MSAAS_CHILD_MEMORY_BYTES counts."""
    assert process.ensure_ready(lambda: False), process.not_ready_reason
    held = data_bytes(process.pid)
    process.kill()
    return held


@pytest.mark.slow
def test_song_that_needs_too_much_memory_fails_with_that_reason_and_the_next_one_works(tmp_path, process, monkeypatch):
    held = held_bytes(process)
    monkeypatch.setenv("MSAAS_CHILD_MEMORY_BYTES", str(held + BETWEEN))
    with pytest.raises(TaskFailed) as failed:
        separate(process, tmp_path, seconds=10)
    assert failed.value.code == "out_of_memory"
    assert not process.alive
    monkeypatch.setenv("MSAAS_CHILD_MEMORY_BYTES", str(held + PLENTY))
    assert len(separate(process, tmp_path, seconds=2)["stems"]) == 4


def test_model_that_does_not_fit_is_said_to_be_the_reason_why_the_worker_is_not_ready(process, monkeypatch):
    """With less than any build of torch holds before a model is loaded."""
    monkeypatch.setenv("MSAAS_CHILD_MEMORY_BYTES", "50000000")
    assert not process.ensure_ready(lambda: False)
    assert "out_of_memory" in process.not_ready_reason or "ended in mid-run" in process.not_ready_reason


# A separation process that sets its memory limit to `share` times the memory it has, and then does nothing.
LIMITED = """
import json, resource, sys, time
from msaas.worker.memory import data_bytes
print(json.dumps({"ready": {}}), flush=True)
sys.stdin.readline()
if share := float(sys.argv[1]):
    limit = int(data_bytes("self") * share)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(json.dumps({"task": "1", "progress": {"stage": "separating", "fraction": 0.5}}), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("share", "signal_number", "error", "code"),
    [
        (1.2, signal.SIGSEGV, TaskFailed, "out_of_memory"),
        (1.2, signal.SIGABRT, TaskFailed, "out_of_memory"),
        (1.2, signal.SIGKILL, ChildDied, "worker_child_died"),  # the kernel's kills are counted by the cgroup
        (4.0, signal.SIGSEGV, ChildDied, "worker_child_died"),
        (0, signal.SIGSEGV, ChildDied, "worker_child_died"),
    ],
)
def test_a_crash_with_little_memory_left_is_for_lack_of_memory(tmp_path, share, signal_number, error, code):
    """Libraries that get no memory may crash: FFmpeg's encoders have died of SIGSEGV."""
    process = SeparationProcess(stall_seconds=120, command=(sys.executable, "-P", "-c", LIMITED, str(share)))
    at_work = []

    def crash_once_seen():
        looked = process.gauge.samples
        if at_work and looked > at_work[0] + 1:  # a whole look at its memory since it limited itself
            os.kill(process.pid, signal_number)
        return False

    def progress(_stage, _fraction):
        at_work.append(process.gauge.samples)

    assert process.ensure_ready(lambda: False), process.not_ready_reason
    options = Options.parse({}, default_model="htdemucs_mini", allowed=("htdemucs_mini",))
    with pytest.raises(error, match=signal_number.name) as failed:
        process.separate(Task(tmp_path / "song", tmp_path, options), crash_once_seen, progress)
    assert failed.value.code == code
    assert not process.alive


def caused_by(cause: Exception) -> ModelUnavailable:
    """As when a model is loaded."""
    error = ModelUnavailable("model 'x' failed to load")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("can't start new thread"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "out of memory"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
        (caused_by(MemoryError()), True),
        (caused_by(ValueError("not a checkpoint")), False),
        (ModelUnavailable("out of memory"), False),
    ],
)
def test_what_runs_out_of_memory_is_known_whoever_says_so(error, is_it):
    assert is_out_of_memory(error) is is_it


def test_a_start_that_lacks_memory_names_the_setting_and_a_defect_of_ours_is_raised():
    failed = _failed_start(caused_by(MemoryError()), 300_000_000)["failed"]
    assert failed["code"] == "out_of_memory"
    assert "MSAAS_CHILD_MEMORY_BYTES=300000000" in failed["detail"]
    assert "BYTES=0" not in _failed_start(MemoryError(), 0)["failed"]["detail"]
    assert _failed_start(caused_by(ValueError()), 0)["failed"]["code"] == "model_unavailable"
    assert _failed_start(SandboxError("none"), 0)["failed"]["retry"] is False
    with pytest.raises(ZeroDivisionError):
        _failed_start(ZeroDivisionError(), 0)


def test_separation_process_holds_no_credentials(process):
    assert process.ensure_ready(lambda: False), process.not_ready_reason
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"a secret" not in environment
    assert b"MSAAS_MODEL=" in environment
