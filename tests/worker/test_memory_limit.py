"""A worker whose container has too little memory pauses, says so, and leaves its songs to others."""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest

from msaas.local.processes.child import wait_until
from msaas.worker import memory
from msaas.worker.memory import MemoryWatch

MIB = 1 << 20


@pytest.fixture
def cgroup(tmp_path):
    def write(**files: str):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_limit_and_kills_are_read_from_both_versions_of_cgroups(cgroup, tmp_path):
    assert (memory.limit_bytes(tmp_path), memory.kills(tmp_path)) == (None, 0)
    cgroup(memory__memory_dot_limit_in_bytes=f"{2**63 - 4096}\n", memory__memory_dot_oom_control="oom_kill 2\n")
    assert (memory.limit_bytes(tmp_path), memory.kills(tmp_path)) == (None, 2)
    cgroup(memory__memory_dot_limit_in_bytes=f"{480 * MIB}\n")
    assert memory.limit_bytes(tmp_path) == 480 * MIB
    cgroup(memory_dot_max="max\n", memory_dot_events="low 0\noom 3\noom_kill 3\n")
    assert memory.kills(tmp_path) == 3
    cgroup(memory_dot_max=f"{512 * MIB}\n")
    assert memory.limit_bytes(tmp_path) == 512 * MIB


def killing(monkeypatch, limit=480 * MIB):
    """Workers whose processes the kernel kills for the limit, each time that they die."""
    counter = count()
    watch = partial(MemoryWatch, limit=lambda: limit, kills=lambda: next(counter))
    monkeypatch.setattr("msaas.worker.supervisor.MemoryWatch", watch)


def test_a_worker_that_is_killed_for_memory_twice_pauses_and_says_which_limit(harness, monkeypatch):
    killing(monkeypatch)
    worker = harness.worker()
    song = harness.song("die")
    assert wait_until(lambda: not worker.ready()[0] and worker.ready()[1].get("code") == "out_of_memory", 60)
    assert "memory limit is 480 MiB, and htdemucs_mini needs more" in worker.ready()[1]["reason"]
    assert wait_until(lambda: harness.queue.get(song).state == "queued", 60)
    assert harness.queue.get(song).attempts == 2  # nobody else is there to try it
    waits = harness.queue.workers().why_waiting("htdemucs_mini")
    assert waits["code"] == "out_of_memory" and "480 MiB" in waits["detail"]


def test_a_worker_whose_process_reaches_its_own_limit_twice_names_the_setting(harness, monkeypatch):
    watch = partial(MemoryWatch, limit=lambda: None, kills=lambda: 0)
    monkeypatch.setattr("msaas.worker.supervisor.MemoryWatch", watch)
    worker = harness.worker(child_memory_bytes=600 * MIB)
    harness.song("lack memory")
    assert wait_until(lambda: worker.ready()[1].get("code") == "out_of_memory", 60)
    reason = worker.ready()[1]["reason"]
    assert f"MSAAS_CHILD_MEMORY_BYTES is {600 * MIB} (600 MiB), and htdemucs_mini needs more" in reason


def test_its_song_goes_to_another_worker_uncharged(harness, monkeypatch):
    killing(monkeypatch)
    small = harness.worker()
    assert wait_until(lambda: harness.queue.workers().ready == 1, 60)
    harness.queue.announce(harness.another_worker())
    song = harness.song("die")
    assert wait_until(lambda: small.ready()[1].get("code") == "out_of_memory", 60)
    assert wait_until(lambda: harness.queue.get(song).state == "queued", 60)
    assert harness.queue.get(song).attempts == 1


def test_deaths_for_another_reason_and_deaths_apart_do_not_pause_a_worker(harness, monkeypatch):
    worker = harness.worker()
    harness.until(harness.song("die"), "failed")
    assert worker.ready()[1].get("code") != "out_of_memory"
    watch = MemoryWatch(limit=lambda: None, kills=lambda: 0)
    assert not watch.died()
    watch.finished()
    assert not watch.died() and watch.died()


def test_a_worker_below_what_a_model_has_needed_elsewhere_does_not_start_it(harness, monkeypatch):
    harness.queue.publish_model("htdemucs_mini", {"sources": ["a"], "peak_bytes": 900 * MIB})
    harness.queue.publish_model("htdemucs_mini", {"sources": ["a"], "peak_bytes": 600 * MIB})
    harness.queue.publish_model("htdemucs_mini", {"sources": ["a"]})
    assert harness.queue.model_peak("htdemucs_mini") == 600 * MIB
    killing(monkeypatch)
    worker = harness.worker()
    assert wait_until(lambda: worker.ready()[1].get("code") == "out_of_memory", 60)
    assert "480 MiB, and htdemucs_mini has needed at least 600 MiB" in worker.ready()[1]["reason"]
    assert worker.process.pid is None


@pytest.mark.parametrize(
    ("container", "setting", "by_kernel", "words"),
    [
        (None, 0, False, "the worker has no memory limit"),
        (None, 600 * MIB, False, f"MSAAS_CHILD_MEMORY_BYTES is {600 * MIB} (600 MiB)"),
        (900 * MIB, 600 * MIB, False, f"MSAAS_CHILD_MEMORY_BYTES is {600 * MIB} (600 MiB)"),
        (480 * MIB, 600 * MIB, False, "the worker's memory limit is 480 MiB"),
        (900 * MIB, 600 * MIB, True, "the worker's memory limit is 900 MiB"),
        (480 * MIB, 0, False, "the worker's memory limit is 480 MiB"),
    ],
)
def test_the_limit_that_counts_is_named(container, setting, by_kernel, words):
    watch = MemoryWatch(child_bytes=setting, limit=lambda: container, kills=lambda: 0)
    assert watch.words(by_kernel=by_kernel) == words


@pytest.mark.parametrize("text", ["", "[]", '{"peak_bytes": "much"}', '{"peak_bytes": -1}', "{"])
def test_a_damaged_description_has_no_peak(queue, redis, text):
    redis.hset("models", "m", text)
    assert queue.model_peak("m") is None
