"""The start of the separation process has a limit of its own."""

import os
import signal
import time

from msaas.worker.process import START_SECONDS, SeparationProcess
from tests.support.worker_harness import STUB


def never() -> bool:
    return False


def until(check, seconds=60):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def test_a_start_may_be_silent_for_longer_than_a_run(monkeypatch):
    monkeypatch.setenv("STUB_START_SECONDS", "1.5")
    process = SeparationProcess(stall_seconds=0.5, command=STUB)
    try:
        assert process.ensure_ready(never)
    finally:
        process.kill()


def test_a_start_that_says_nothing_is_ended_with_the_reason(monkeypatch):
    monkeypatch.setenv("STUB_START_SECONDS", "3600")
    process = SeparationProcess(stall_seconds=0.5, command=STUB, start_seconds=1)
    assert not process.ensure_ready(never)
    said = "worker_child_died: the separation process said nothing for 1 seconds while it started, and was ended"
    assert (process.not_ready_reason, process.alive) == (said, False)


def test_a_longer_limit_of_runs_is_one_of_starts():
    assert SeparationProcess(stall_seconds=2 * START_SECONDS).start_seconds == 2 * START_SECONDS


def test_a_worker_whose_process_starts_for_long_is_alive(harness, monkeypatch):
    monkeypatch.setenv("STUB_START_SECONDS", "3600")
    worker = harness.worker()
    until(lambda: worker.process.pid is not None)
    seen = time.monotonic()
    until(lambda: time.monotonic() - worker.loop.quiet_seconds > seen)
    assert worker.alive()[0] and not worker.ready()[0]


def test_so_is_one_with_two_songs_in_flight_whose_process_starts_again(harness, monkeypatch):
    worker = harness.worker(songs_in_flight=2)
    until(lambda: worker.ready()[0] and len(worker.loop._alive_at) == 2)
    monkeypatch.setenv("STUB_START_SECONDS", "3600")
    os.kill(worker.process.pid, signal.SIGKILL)
    until(lambda: not worker.ready()[0])
    seen = time.monotonic()
    until(lambda: time.monotonic() - worker.loop.quiet_seconds > seen)  # both slots wait, and say so
    assert not worker.ready()[0]
