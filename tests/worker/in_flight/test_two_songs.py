"""Two songs at a time in one worker: leases, cancel, drain, deaths and lack of memory hold for each."""

import os
import signal
from contextlib import contextmanager

import pytest

from msaas.local.processes.child import wait_until
from msaas.worker.process import SeparationProcess, TaskFailed

LONG = 600  # seconds that a song would take; no test waits for it


@pytest.fixture
def worker(harness):
    return harness.worker(songs_in_flight=2)


def both_running(harness, **wish):
    songs = [harness.song(**wish) for _ in range(2)]
    for song in songs:
        harness.running(song)
    return songs


def stems_of(harness, song):
    return {name: b"".join(harness.storage.read_stem(name)) for name in harness.storage.stems_of(song)}


def test_two_songs_run_at_the_same_time_and_each_gets_its_own_stems(harness, worker):
    songs = both_running(harness, seconds=4)
    for song in songs:
        assert harness.until(song, "done").attempts == 1
        assert stems_of(harness, song) == {
            f"{song}-{stem}.mp3": f"{stem} of {song}".encode() for stem in ("drums", "bass", "other", "vocals")
        }


def test_a_worker_takes_as_many_songs_as_its_process_says(harness, monkeypatch):
    monkeypatch.setenv("STUB_SONGS", "2")
    harness.worker(songs_in_flight=0)
    both_running(harness, seconds=LONG)


def test_the_setting_stands_above_what_the_process_says(harness, monkeypatch):
    monkeypatch.setenv("STUB_SONGS", "2")
    harness.worker(songs_in_flight=1)
    first, second = harness.song(seconds=2), harness.song()
    harness.running(first)
    assert harness.queue.get(second).state == "queued"
    assert harness.until(second, "done").started_at >= harness.until(first, "done").finished_at - 0.01


def test_one_of_two_is_cancelled_and_the_other_goes_on_in_the_same_process(harness, worker):
    first, second = both_running(harness, seconds=LONG)
    pid = worker.process.pid
    harness.queue.cancel(first)
    third = harness.song()
    harness.until(third, "done")
    assert harness.queue.get(first).state == "cancelled" and harness.storage.stems_of(first) == []
    assert (harness.queue.get(second).state, worker.process.pid) == ("running", pid)


def test_a_cancelled_song_that_does_not_stop_costs_its_neighbour_no_attempt(harness, worker):
    neighbour = harness.song(seconds=3)
    harness.running(neighbour)
    hanging = harness.song("hang")
    harness.until(hanging, "running")
    assert wait_until(lambda: harness.queue.get(hanging).stage == "fetching", 20)
    pid = worker.process.pid
    harness.queue.cancel(hanging)
    assert wait_until(lambda: worker.process.pid not in (None, pid), 60)
    assert harness.until(neighbour, "done").attempts == 1


def test_a_stopping_worker_gives_both_back_uncharged(harness, worker):
    songs = both_running(harness, seconds=LONG)
    worker.stop()
    harness.ended(worker)
    assert [(job.state, job.attempts) for job in map(harness.queue.get, songs)] == [("queued", 0)] * 2
    assert set(harness.queue.waiting()) == set(songs)


def test_both_are_finished_within_the_grace(harness):
    worker = harness.worker(songs_in_flight=2, grace_seconds=60)
    songs = both_running(harness, seconds=4)
    worker.stop()
    harness.ended(worker)
    assert [harness.queue.get(song).state for song in songs] == ["done", "done"]


def test_a_killed_process_costs_neither_of_its_two_songs_an_attempt(harness, worker):
    songs = both_running(harness, seconds=2)
    os.kill(worker.process.pid, signal.SIGKILL)
    assert [harness.until(song, "done").attempts for song in songs] == [1, 1]


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_a_poisonous_song_is_charged_and_its_neighbours_are_not(harness, max_attempts):
    harness.worker(songs_in_flight=2, max_attempts=max_attempts)
    neighbour = harness.song(seconds=4)
    harness.running(neighbour)
    poison, others = harness.song("die"), [harness.song() for _ in range(3)]
    job = harness.until(poison, "failed")
    assert (job.attempts, job.error["code"]) == (max_attempts, "worker_child_died")
    assert "SIGKILL" in job.error["detail"]
    assert [harness.until(song, "done").attempts for song in (neighbour, *others)] == [1] * 4


def test_a_song_that_dies_only_beside_others_is_done_alone(harness, worker):
    neighbour = harness.song(seconds=2)
    harness.running(neighbour)
    song = harness.song("die beside another")
    assert [harness.until(one, "done").attempts for one in (song, neighbour)] == [1, 1]


def test_after_a_shortage_of_memory_songs_run_one_at_a_time(harness, worker):
    neighbour = harness.song(seconds=2)
    harness.running(neighbour)
    starving = harness.song("starve beside another")
    assert [harness.until(one, "done").attempts for one in (starving, neighbour)] == [1, 1]
    first, second = harness.song(seconds=2), harness.song()
    harness.running(first)
    assert harness.queue.get(second).state == "queued"  # another worker may take it
    assert harness.until(second, "done").started_at >= harness.until(first, "done").finished_at - 0.01
    assert worker.ready()[0]


def test_a_song_without_progress_is_charged_and_its_neighbour_is_not(harness):
    harness.worker(songs_in_flight=2, stall_seconds=1, max_attempts=1)
    neighbour = harness.song(seconds=5)
    harness.running(neighbour)
    hanging = harness.song("hang")
    assert "no progress for 1 seconds" in harness.until(hanging, "failed").error["detail"]
    assert harness.until(neighbour, "done").attempts == 1


def test_progress_reaches_the_record_of_each(harness, worker):
    slow, fast = harness.song(seconds=LONG), harness.song(seconds=6)
    for song in (slow, fast):
        harness.running(song)
    assert wait_until(lambda: harness.queue.get(fast).progress > 0.1, 60)
    assert harness.queue.get(slow).progress < harness.queue.get(fast).progress


def test_a_job_taken_away_in_mid_run_is_left_alone_and_the_other_goes_on(harness, worker):
    lost, kept = both_running(harness, seconds=LONG)
    harness.queue.redis.hset(f"job:{lost}", mapping={"fence": "999999", "worker": "another"})
    harness.until(harness.song(), "done")
    assert harness.queue.get(lost).worker == "another" and harness.storage.stems_of(lost) == []
    assert harness.queue.get(kept).state == "running"


def test_a_lost_claim_is_given_back_and_the_songs_that_run_are_not(harness, worker):
    running = harness.song(seconds=LONG)
    harness.running(running)
    claim, lost = worker.queue.claim, []

    def claim_and_lose_the_answer(*args, **preference):
        claimed = claim(*args, **preference)
        if claimed is not None and not lost:
            lost.append(claimed.songhash)
            raise ConnectionError("the answer got lost")
        return claimed

    worker.queue.claim = claim_and_lose_the_answer
    song = harness.song()
    assert harness.until(song, "done").attempts == 1
    assert lost == [song]
    assert (harness.queue.get(running).state, harness.queue.get(running).attempts) == ("running", 1)


def test_a_new_song_is_left_to_a_worker_that_has_none(harness, monkeypatch):
    monkeypatch.setattr("msaas.worker.supervisor.HESITATE_SECONDS", 600)
    busy = harness.worker(songs_in_flight=2)
    first = harness.song(seconds=LONG)
    harness.running(first)
    idle = harness.worker(songs_in_flight=2)
    assert wait_until(lambda: harness.queue.workers().ready == 2, 60)
    second = harness.song(seconds=LONG)
    harness.running(second)
    assert (harness.queue.get(first).worker, harness.queue.get(second).worker) == (busy.name, idle.name)


# --- the handle on the process, without a queue


@contextmanager
def process_of(tmp_path, script):
    """A process that is ready, then does what the script says with `lines`, its input."""
    path = tmp_path / "child.py"
    path.write_text(f"import json, sys, time\nprint(json.dumps({{'ready': {{}}}}), flush=True)\n{script}")
    process = SeparationProcess(stall_seconds=60, command=("python3", str(path)))
    assert process.ensure_ready(lambda: False)
    yield process
    process.kill()


def test_what_a_process_says_of_an_unknown_task_is_dropped(tmp_path):
    from msaas.options import Options
    from msaas.worker.protocol import Task

    script = """
for text in sys.stdin:
    number = json.loads(text)["task"]
    for about in ("999", number):
        failed = {"code": "x", "detail": about, "retry": False, "model": ""}
        print(json.dumps({"task": about, "failed": failed}), flush=True)
"""
    task = Task(tmp_path / "song", tmp_path, Options(model="m"))
    with process_of(tmp_path, script) as process:
        for number in ("1", "2"):
            with pytest.raises(TaskFailed, match=f"^{number}$"):
                process.separate(task, lambda: False, lambda _stage, _fraction: None)
