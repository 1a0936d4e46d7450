"""The supervisor sees every job to its end, whatever happens to its separation process."""

import os
import signal
import time
import uuid
from dataclasses import replace

from msaas.local.processes.child import wait_until
from msaas.options import Options
from msaas.queue import WAITING
from msaas.storage import OUTPUTS
from msaas.wiring.stores import build_queue
from tests.support.environment import BUSY_SECONDS


def stems_in(storage, songhash):
    return sorted(storage.stems_of(songhash))


def test_a_song_becomes_four_stems(harness, storage):
    harness.worker()
    songhash = harness.song()
    job = harness.until(songhash, "done")
    assert stems_in(storage, songhash) == sorted(f"{songhash}-{s}.mp3" for s in ("drums", "bass", "other", "vocals"))
    assert b"".join(storage.read_stem(f"{songhash}-vocals.mp3")) == f"vocals of {songhash}".encode()
    assert dict(job.stem_extensions) == dict.fromkeys(("drums", "bass", "other", "vocals"), "mp3")
    assert (job.progress, job.attempts, job.error) == (1.0, 1, None)


def test_a_bare_uuid_pushed_by_hand_is_separated_with_the_defaults(harness, redis):
    harness.worker()
    songhash = str(uuid.uuid4())
    harness.store(songhash, {"do": "separate"})
    redis.rpush(WAITING, songhash)
    job = harness.until(songhash, "done")
    assert (job.model, job.options["format"]) == ("htdemucs_mini", "mp3")


def test_the_format_asked_for_is_the_stems_extension(harness, storage):
    harness.worker()
    songhash = str(uuid.uuid4())
    harness.store(songhash, {"do": "separate"})
    options = Options(model="htdemucs_mini", format="flac", bitrate=None)
    harness.queue.submit(songhash, {"model": "htdemucs_mini", "options": options.to_json()})
    harness.until(songhash, "done")
    assert all(name.endswith(".flac") for name in stems_in(storage, songhash))


def test_progress_and_stage_reach_the_record(harness):
    harness.worker()
    songhash = harness.song(seconds=5)
    harness.running(songhash)
    assert wait_until(lambda: harness.queue.get(songhash).progress > 0.1, 60)
    job = harness.queue.get(songhash)
    assert (job.state, job.stage) == ("running", "separating")
    assert job.progress < 1


def test_a_child_that_dies_costs_an_attempt_not_the_worker(harness, tmp_path):
    worker = harness.worker()
    songhash = harness.song("die once", marker=str(tmp_path / "died"))
    after = harness.song()
    assert harness.until(songhash, "done").attempts == 2
    harness.until(after, "done")
    assert worker.ready()[0]


def test_a_poison_song_runs_three_times_and_the_others_go_on(harness):
    harness.worker()
    poison, other = harness.song("die"), harness.song()
    job = harness.until(poison, "failed")
    assert (job.attempts, job.error["code"]) == (3, "worker_child_died")
    assert "SIGKILL" in job.error["detail"]
    harness.until(other, "done")


def test_an_error_in_the_song_is_not_tried_again(harness):
    harness.worker()
    job = harness.until(harness.song("fail", code="not_audio", retry=False), "failed")
    assert (job.attempts, job.error) == (1, {"code": "not_audio", "detail": "as the song wished"})


def test_a_run_without_progress_is_ended(harness):
    harness.worker(stall_seconds=1, max_attempts=1)
    job = harness.until(harness.song("hang"), "failed")
    assert "no progress for 1 seconds" in job.error["detail"]


def test_a_songhash_without_a_song_fails_with_the_reason(harness, redis):
    harness.worker()
    songhash = str(uuid.uuid4())
    redis.rpush(WAITING, songhash)
    job = harness.until(songhash, "failed")
    assert (job.error["code"], job.attempts) == ("object_missing", 1)


def test_an_option_this_worker_does_not_know_fails_with_the_reason(harness):
    harness.worker()
    songhash = str(uuid.uuid4())
    harness.store(songhash, {"do": "separate"})
    harness.queue.submit(songhash, {"model": "htdemucs_mini", "options": '{"model":"htdemucs_mini","format":"ogg"}'})
    assert harness.until(songhash, "failed").error["code"] == "invalid_option"


def test_a_cancelled_run_stops_soon_and_leaves_no_stems(harness, storage):
    worker = harness.worker(heartbeat_seconds=1, lease_seconds=5)
    songhash = harness.song(seconds=10 * BUSY_SECONDS)
    harness.running(songhash)
    harness.queue.cancel(songhash)
    other = harness.song()
    harness.until(other, "running", "done", seconds=BUSY_SECONDS)
    assert harness.queue.get(songhash).state == "cancelled"
    assert stems_in(storage, songhash) == []
    assert worker.process.pid is not None


def test_a_cancelled_hanging_run_is_killed(harness):
    harness.worker()
    songhash = harness.song("hang")
    harness.until(songhash, "running")
    time.sleep(0.5)
    harness.queue.cancel(songhash)
    harness.until(harness.song(), "done")


def test_a_stopping_worker_gives_its_job_back_uncharged(harness):
    worker = harness.worker()
    songhash = harness.song(seconds=60)
    harness.running(songhash)
    worker.stop()
    worker.stop()
    job = harness.until(songhash, "queued")
    assert job.attempts == 0
    assert harness.queue.waiting() == [songhash]


def test_a_stopping_worker_finishes_what_fits_into_its_grace(harness):
    worker = harness.worker(grace_seconds=60)
    songhash, waiting = harness.song(seconds=4), harness.song()
    harness.running(songhash)
    worker.stop()
    harness.until(songhash, "done")
    time.sleep(0.5)
    assert harness.queue.get(waiting).state == "queued"


def test_a_killed_workers_job_is_done_by_another(harness, redis):
    songhash = harness.song()
    assert harness.queue.claim("a worker that was killed") is not None
    harness.worker()
    job = harness.until(songhash, "done")
    assert job.attempts == 2


def test_a_job_taken_back_in_mid_run_is_left_alone(harness, storage):
    harness.worker()
    songhash = harness.song(seconds=60)
    harness.running(songhash)
    taken = harness.queue.redis
    taken.hset(f"job:{songhash}", mapping={"fence": "999999", "worker": "another"})
    time.sleep(1.5)
    assert harness.queue.get(songhash).worker == "another"
    assert stems_in(storage, songhash) == []


def test_a_worker_without_weights_claims_nothing_and_says_why(harness, monkeypatch):
    monkeypatch.setenv("STUB_NOT_READY", "1")
    worker = harness.worker()
    songhash = harness.song()
    time.sleep(1)
    ready, report = worker.ready()
    assert not ready
    assert "no weights here" in report["reason"]
    assert harness.queue.get(songhash).state == "queued"


def test_a_claim_whose_answer_was_lost_is_given_back_uncharged(harness):
    worker = harness.worker()
    harness.until(harness.song(), "done")
    songhash = harness.song(seconds=0.1)
    harness.until(songhash, "done")
    lost = str(uuid.uuid4())
    harness.store(lost, {"do": "separate"})
    worker.stop()
    time.sleep(1.5)
    queue = build_queue(replace(harness.settings, lease_seconds=60))
    queue.submit(lost, {"model": "htdemucs_mini"})
    assert queue.claim(worker.name).songhash == lost  # the answer that never arrived
    worker._claim_in_doubt = True
    claim = worker._claim()
    assert (claim.songhash, claim.job.attempts) == (lost, 1)


def test_the_separation_process_ends_with_its_supervisor(harness):
    worker = harness.worker()
    harness.until(harness.song(), "done")
    pid = worker.process.pid
    os.close(worker.process._started.process.stdin.fileno())  # what the kernel does when the supervisor is killed
    for _ in range(50):
        if not worker.process.alive:
            break
        time.sleep(0.1)
    with_signal_zero_fails = False
    try:
        os.kill(pid, 0)
        with_signal_zero_fails = worker.process.pid != pid
    except ProcessLookupError:
        with_signal_zero_fails = True
    assert with_signal_zero_fails


def test_storage_away_is_waited_out(harness, storage, monkeypatch):
    worker = harness.worker()
    harness.until(harness.song(), "done")
    from msaas.errors import StorageUnavailable

    refusals = iter([StorageUnavailable("away")] * 3)
    put = worker.storage.put_stem

    def flaky(name, path):
        for refusal in refusals:
            raise refusal
        put(name, path)

    monkeypatch.setattr(worker.storage, "put_stem", flaky)
    songhash = harness.song()
    assert harness.until(songhash, "done").attempts == 1
    assert len(stems_in(storage, songhash)) == 4


def test_scratch_folders_are_emptied(harness, settings):
    harness.worker()
    harness.until(harness.song(), "done")
    harness.until(harness.song("fail", code="x", retry=False), "failed")
    time.sleep(0.2)
    assert not list(settings.scratch_dir.glob("msaas-*"))


def test_buckets_hold_only_what_jobs_published(harness, storage):
    harness.worker()
    songhash = harness.song()
    harness.until(songhash, "done")
    assert {item.name.rpartition("-")[0] for item in storage.names(OUTPUTS)} == {songhash}


def test_a_killed_process_is_named_in_the_record(harness):
    worker = harness.worker(max_attempts=1)
    songhash = harness.song(seconds=60)
    harness.running(songhash)
    os.kill(worker.process.pid, signal.SIGKILL)
    assert "SIGKILL" in harness.until(songhash, "failed").error["detail"]
