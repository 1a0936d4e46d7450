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


def test_a_song_becomes_four_stems(bench, storage):
    bench.worker()
    songhash = bench.song()
    job = bench.until(songhash, "done")
    assert stems_in(storage, songhash) == sorted(f"{songhash}-{s}.mp3" for s in ("drums", "bass", "other", "vocals"))
    assert b"".join(storage.read_stem(f"{songhash}-vocals.mp3")) == f"vocals of {songhash}".encode()
    assert dict(job.stem_extensions) == dict.fromkeys(("drums", "bass", "other", "vocals"), "mp3")
    assert (job.progress, job.attempts, job.error) == (1.0, 1, None)


def test_a_bare_uuid_pushed_by_hand_is_separated_with_the_defaults(bench, redis):
    bench.worker()
    songhash = str(uuid.uuid4())
    bench.store(songhash, {"do": "separate"})
    redis.rpush(WAITING, songhash)
    job = bench.until(songhash, "done")
    assert (job.model, job.options["format"]) == ("htdemucs_mini", "mp3")


def test_the_format_asked_for_is_the_stems_extension(bench, storage):
    bench.worker()
    songhash = str(uuid.uuid4())
    bench.store(songhash, {"do": "separate"})
    options = Options(model="htdemucs_mini", format="flac", bitrate=None)
    bench.queue.submit(songhash, {"model": "htdemucs_mini", "options": options.to_json()})
    bench.until(songhash, "done")
    assert all(name.endswith(".flac") for name in stems_in(storage, songhash))


def test_progress_and_stage_reach_the_record(bench):
    bench.worker()
    songhash = bench.song(seconds=5)
    bench.running(songhash)
    assert wait_until(lambda: bench.queue.get(songhash).progress > 0.1, 60)
    job = bench.queue.get(songhash)
    assert (job.state, job.stage) == ("running", "separating")
    assert job.progress < 1


def test_a_child_that_dies_costs_an_attempt_not_the_worker(bench, tmp_path):
    worker = bench.worker()
    songhash = bench.song("die once", marker=str(tmp_path / "died"))
    after = bench.song()
    assert bench.until(songhash, "done").attempts == 2
    bench.until(after, "done")
    assert worker.ready()[0]


def test_a_poison_song_runs_three_times_and_the_others_go_on(bench):
    bench.worker()
    poison, other = bench.song("die"), bench.song()
    job = bench.until(poison, "failed")
    assert (job.attempts, job.error["code"]) == (3, "worker_child_died")
    assert "SIGKILL" in job.error["detail"]
    bench.until(other, "done")


def test_an_error_in_the_song_is_not_tried_again(bench):
    bench.worker()
    job = bench.until(bench.song("fail", code="not_audio", retry=False), "failed")
    assert (job.attempts, job.error) == (1, {"code": "not_audio", "detail": "as the song wished"})


def test_a_run_without_progress_is_ended(bench):
    bench.worker(stall_seconds=1, max_attempts=1)
    job = bench.until(bench.song("hang"), "failed")
    assert "no progress for 1 seconds" in job.error["detail"]


def test_a_songhash_without_a_song_fails_with_the_reason(bench, redis):
    bench.worker()
    songhash = str(uuid.uuid4())
    redis.rpush(WAITING, songhash)
    job = bench.until(songhash, "failed")
    assert (job.error["code"], job.attempts) == ("object_missing", 1)


def test_an_option_this_worker_does_not_know_fails_with_the_reason(bench):
    bench.worker()
    songhash = str(uuid.uuid4())
    bench.store(songhash, {"do": "separate"})
    bench.queue.submit(songhash, {"model": "htdemucs_mini", "options": '{"model":"htdemucs_mini","format":"ogg"}'})
    assert bench.until(songhash, "failed").error["code"] == "invalid_option"


def test_a_cancelled_run_stops_soon_and_leaves_no_stems(bench, storage):
    worker = bench.worker(heartbeat_seconds=1, lease_seconds=5)
    songhash = bench.song(seconds=10 * BUSY_SECONDS)
    bench.running(songhash)
    bench.queue.cancel(songhash)
    other = bench.song()
    bench.until(other, "running", "done", seconds=BUSY_SECONDS)
    assert bench.queue.get(songhash).state == "cancelled"
    assert stems_in(storage, songhash) == []
    assert worker.process.pid is not None


def test_a_cancelled_hanging_run_is_killed(bench):
    bench.worker()
    songhash = bench.song("hang")
    bench.until(songhash, "running")
    time.sleep(0.5)
    bench.queue.cancel(songhash)
    bench.until(bench.song(), "done")


def test_a_stopping_worker_gives_its_job_back_uncharged(bench):
    worker = bench.worker()
    songhash = bench.song(seconds=60)
    bench.running(songhash)
    worker.stop()
    worker.stop()
    job = bench.until(songhash, "queued")
    assert job.attempts == 0
    assert bench.queue.waiting() == [songhash]


def test_a_stopping_worker_finishes_what_fits_into_its_grace(bench):
    worker = bench.worker(grace_seconds=10)
    songhash, waiting = bench.song(seconds=1), bench.song()
    bench.running(songhash)
    worker.stop()
    bench.until(songhash, "done")
    time.sleep(0.5)
    assert bench.queue.get(waiting).state == "queued"


def test_a_killed_workers_job_is_done_by_another(bench, redis):
    songhash = bench.song()
    assert bench.queue.claim("a worker that was killed") is not None
    bench.worker()
    job = bench.until(songhash, "done")
    assert job.attempts == 2


def test_a_job_taken_back_in_mid_run_is_left_alone(bench, storage):
    bench.worker()
    songhash = bench.song(seconds=60)
    bench.running(songhash)
    taken = bench.queue.redis
    taken.hset(f"job:{songhash}", mapping={"fence": "999999", "worker": "another"})
    time.sleep(1.5)
    assert bench.queue.get(songhash).worker == "another"
    assert stems_in(storage, songhash) == []


def test_a_worker_without_weights_claims_nothing_and_says_why(bench, monkeypatch):
    monkeypatch.setenv("STUB_NOT_READY", "1")
    worker = bench.worker()
    songhash = bench.song()
    time.sleep(1)
    ready, report = worker.ready()
    assert not ready
    assert "no weights here" in report["reason"]
    assert bench.queue.get(songhash).state == "queued"


def test_a_claim_whose_answer_was_lost_is_given_back_uncharged(bench):
    worker = bench.worker()
    bench.until(bench.song(), "done")
    songhash = bench.song(seconds=0.1)
    bench.until(songhash, "done")
    lost = str(uuid.uuid4())
    bench.store(lost, {"do": "separate"})
    worker.stop()
    time.sleep(1.5)
    queue = build_queue(replace(bench.settings, lease_seconds=60))
    queue.submit(lost, {"model": "htdemucs_mini"})
    assert queue.claim(worker.name).songhash == lost  # the answer that never arrived
    worker._claim_in_doubt = True
    claim = worker._claim()
    assert (claim.songhash, claim.job.attempts) == (lost, 1)


def test_the_separation_process_ends_with_its_supervisor(bench):
    worker = bench.worker()
    bench.until(bench.song(), "done")
    pid = worker.process.pid
    os.close(worker.process._process.stdin.fileno())  # what the kernel does when the supervisor is killed
    for _ in range(50):
        if worker.process._process is None or worker.process._process.poll() is not None:
            break
        time.sleep(0.1)
    with_signal_zero_fails = False
    try:
        os.kill(pid, 0)
        with_signal_zero_fails = worker.process.pid != pid
    except ProcessLookupError:
        with_signal_zero_fails = True
    assert with_signal_zero_fails


def test_storage_away_is_waited_out(bench, storage, monkeypatch):
    worker = bench.worker()
    bench.until(bench.song(), "done")
    from msaas.errors import StorageUnavailable

    refusals = iter([StorageUnavailable("away")] * 3)
    put = worker.storage.put_stem

    def flaky(name, path):
        for refusal in refusals:
            raise refusal
        put(name, path)

    monkeypatch.setattr(worker.storage, "put_stem", flaky)
    songhash = bench.song()
    assert bench.until(songhash, "done").attempts == 1
    assert len(stems_in(storage, songhash)) == 4


def test_scratch_folders_are_emptied(bench, settings):
    bench.worker()
    bench.until(bench.song(), "done")
    bench.until(bench.song("fail", code="x", retry=False), "failed")
    time.sleep(0.2)
    assert not list(settings.scratch_dir.glob("msaas-*"))


def test_buckets_hold_only_what_jobs_published(bench, storage):
    bench.worker()
    songhash = bench.song()
    bench.until(songhash, "done")
    assert {item.name.rpartition("-")[0] for item in storage.names(OUTPUTS)} == {songhash}


def test_a_killed_process_is_named_in_the_record(bench):
    worker = bench.worker(max_attempts=1)
    songhash = bench.song(seconds=60)
    bench.running(songhash)
    os.kill(worker.process.pid, signal.SIGKILL)
    assert "SIGKILL" in bench.until(songhash, "failed").error["detail"]
