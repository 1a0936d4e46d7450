"""Jobs age out whole, and only those that may; what belongs to no job is swept. On a real Valkey and a real S3."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from msaas.errors import StorageUnavailable
from msaas.maintenance.housekeeping import SWEEP_LOCK, Housekeeper, sweep_interval
from msaas.maintenance.loop import Loop
from msaas.queue import DEAD, WAITING, Queue
from msaas.storage import INPUTS, OUTPUTS, WAVEFORMS
from msaas.telemetry.metrics import Metrics

DAY = 24 * 3600
STEMS = ("bass", "drums", "other", "vocals")


@pytest.fixture
def queue(redis):
    return Queue(redis, lease_seconds=5)


@pytest.fixture
def put(storage, tmp_path):
    """Stores a song, its stems and their drawing."""

    def put(songhash, stems=STEMS):
        (tmp_path / "object").write_bytes(b"bytes")
        storage.put_input(songhash, tmp_path / "object")
        for stem in stems:
            storage.put_stem(f"{songhash}-{stem}.mp3", tmp_path / "object")
        storage.put_waveforms(songhash, b"{}")

    return put


@pytest.fixture
def job(queue, redis, put):
    """A job that ended so many days ago, or has not ended."""

    def job(state="done", days_ago=0.0):
        songhash = str(uuid.uuid4())
        put(songhash)
        queue.submit(songhash, {"model": "m"})
        if state == "cancelled":
            queue.cancel(songhash)
        elif state != "queued":
            claim = queue.claim("w")
            if state == "done":
                queue.finish(claim, {"stems": dict.fromkeys(STEMS, "mp3")}, 1)
            elif state == "failed":
                queue.fail(claim, {"code": "x"}, retry=False)
        if finished := redis.hget(f"job:{songhash}", "finished_ms"):
            redis.hset(f"job:{songhash}", "finished_ms", int(finished) - int(days_ago * DAY * 1000))
        return songhash

    return job


@pytest.fixture
def sweep(queue, storage, redis):
    def sweep(*, days=7.0, later=timedelta()):
        redis.delete(SWEEP_LOCK)
        return Housekeeper(queue, storage, retention_seconds=days * DAY, now=lambda: datetime.now(UTC) + later).sweep()

    return sweep


def objects(storage, songhash):
    return [
        item.name for bucket in (INPUTS, OUTPUTS, WAVEFORMS) for item in storage.names(bucket) if songhash in item.name
    ]


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_job_ages_out_whole(queue, redis, storage, job, sweep, state):
    old, young = job(state, days_ago=7.1), job(state, days_ago=6.9)
    assert len(sweep()) == 6
    assert queue.get(old) is None and not objects(storage, old)
    assert queue.get(young).state == state and len(objects(storage, young)) == 6
    assert redis.lrange(DEAD, 0, -1) == ([young] if state == "failed" else [])
    assert sweep() == []
    assert not redis.keys(f"*{old}*")


def test_kept_for_ever_is_the_default(storage, job, sweep):
    old = job("done", days_ago=9999)
    assert sweep(days=0) == [] and len(objects(storage, old)) == 6


def test_what_has_not_ended_never_ages_out(queue, storage, redis, job, sweep):
    running, queued = job("running"), job("queued")
    for songhash in (running, queued):
        redis.hset(f"job:{songhash}", mapping={"finished_ms": "1", "created_ms": "1"})  # of an earlier end
    assert sweep(later=timedelta(days=99)) == []
    assert [queue.get(one).state for one in (running, queued)] == ["running", "queued"]


def test_an_ended_job_that_was_pushed_by_hand_again_waits_and_stays(queue, redis, storage, job, sweep):
    old = job("done", days_ago=8)
    redis.rpush(WAITING, old)
    assert sweep() == [] and len(objects(storage, old)) == 6
    assert queue.claim("w").songhash == old


def test_what_was_put_by_hand_ages_by_its_own_time(storage, put, sweep):
    bare = str(uuid.uuid4())
    put(bare)
    assert sweep(later=timedelta(hours=23)) == []
    assert sweep(later=timedelta(days=2)) == [f"{bare}.mp3"]  # a song nobody queued
    assert sweep(later=timedelta(days=6)) == []
    assert len(sweep(later=timedelta(days=8))) == 5 and not objects(storage, bare)


def test_a_uuid_pushed_by_hand_keeps_its_song_while_it_waits(redis, storage, put, sweep):
    bare = str(uuid.uuid4())
    put(bare, stems=())
    redis.rpush(WAITING, bare)
    assert f"{bare}.mp3" not in sweep(later=timedelta(days=99))


def test_names_that_are_not_ours_are_left_alone(storage, sweep, tmp_path):
    (tmp_path / "note").write_bytes(b"mine")
    for bucket in (INPUTS, OUTPUTS, WAVEFORMS):
        storage.client.fput_object(bucket, "notes/readme.txt", str(tmp_path / "note"))
    assert sweep(later=timedelta(days=99)) == []
    for bucket in (INPUTS, OUTPUTS, WAVEFORMS):
        storage.client.remove_object(bucket, "notes/readme.txt")


def test_a_song_that_is_held_stays(queue, storage, job, sweep):
    old = job("done", days_ago=8)
    assert queue.hold(old, 0.3)
    assert sweep() == []
    time.sleep(0.35)
    assert len(sweep()) == 6


def test_holding_a_song_that_is_being_retired_says_so(queue, job):
    old = job("done", days_ago=8)
    assert queue.retire(old, 7 * DAY) == "forgotten"
    assert not queue.hold(old, 1)
    queue.retired(old)
    assert queue.hold(old, 1)


def test_jobs_that_age_out_are_counted_once(redis, job):
    metrics = Metrics()
    counted = Queue(redis, observer=metrics)
    old = job("done", days_ago=8)
    assert [counted.retire(old, 7 * DAY), counted.retire(old, 7 * DAY)] == ["forgotten", ""]
    assert metrics.registry.get_sample_value("msaas_jobs_aged_out_total") == 1


def test_two_sweeps_retire_a_job_once(queue, job):
    old = job("done", days_ago=8)
    assert [queue.retire(old, 7 * DAY), queue.retire(old, 7 * DAY), queue.retire(old)] == ["forgotten", "", ""]


def test_a_song_posted_before_the_script_wins(queue, storage, job, sweep):
    """It ended long ago and failed; whoever posts it again holds it, stores it and queues it."""
    old = job("failed", days_ago=8)
    queue.hold(old, 60)
    assert sweep() == []
    assert queue.submit(old, {"model": "m"}).new
    assert sweep() == [] and storage.has_input(old)


def test_a_store_that_goes_away_in_the_midst_leaves_what_the_next_sweep_finds(
    queue, redis, storage, job, sweep, monkeypatch
):
    old = job("done", days_ago=8)

    def away(bucket, names):
        raise StorageUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove", away)
        with pytest.raises(StorageUnavailable):
            sweep()
    assert queue.get(old) is None and len(objects(storage, old)) == 6
    assert sweep(later=timedelta(days=8)) == []  # its mark stands: whoever posts the song waits
    redis.delete(f"retiring:{old}")  # two minutes later
    assert len(sweep(later=timedelta(days=8))) == 6


def test_a_stalled_sweep_does_not_go_on_past_its_mark(queue, storage, job, sweep, monkeypatch):
    old = job("done", days_ago=8)
    monkeypatch.setattr("msaas.maintenance.sweep.RETIRE_SECONDS", -1)
    with pytest.raises(StorageUnavailable):
        sweep()
    assert len(objects(storage, old)) == 6


def test_many_jobs_are_looked_through_in_batches(queue, redis, storage, job, sweep, monkeypatch):
    monkeypatch.setattr("msaas.maintenance.sweep.BATCH", 2)
    monkeypatch.setattr("msaas.queue.queue.SCAN_COUNT", 2)
    old, young = {job("done", days_ago=8) for _ in range(5)}, {job("done") for _ in range(5)}
    assert len(sweep()) == 30
    assert {item.name[:36] for item in storage.names(INPUTS)} == young
    assert not any(queue.get(one) for one in old)


def test_stems_of_a_cancelled_job_go_after_an_hour(storage, job, sweep):
    cancelled = job("cancelled")
    assert sweep(days=0, later=timedelta(minutes=59)) == []
    assert len(sweep(days=0, later=timedelta(minutes=61))) == 4
    assert objects(storage, cancelled) == [f"{cancelled}.mp3", f"{cancelled}.json"]


def test_one_part_sweeps_at_a_time(queue, storage, job):
    job("done", days_ago=8)
    keepers = [Housekeeper(queue, storage, retention_seconds=DAY) for _ in range(2)]
    assert [len(keeper.sweep()) for keeper in keepers] == [6, 0]


def test_sweeps_come_as_often_as_the_retention_asks_for():
    assert [sweep_interval(hours * 3600) for hours in (0, 24, 1, 0.001)] == [3600, 3600, 900, 10]


def test_reaping_goes_on_while_a_sweep_hangs(queue, storage):
    reaped, hang = threading.Event(), threading.Event()
    keeper = Housekeeper(queue, storage, every_seconds=0.02, sweep_every_seconds=0.01)
    keeper._sweeping.turn = lambda: hang.wait(5)
    keeper._reaping.turn = reaped.set
    keeper.start()
    time.sleep(0.1)
    reaped.clear()
    assert reaped.wait(2)
    hang.set()
    keeper.stop()


def test_a_loop_outlives_what_goes_wrong_in_a_turn(caplog):
    turns = []

    def turn():
        turns.append(1)
        raise (StorageUnavailable("away") if len(turns) < 4 else ZeroDivisionError)

    loop = Loop("testing", turn, 0.01)
    loop.start()
    while len(turns) < 6:
        time.sleep(0.01)
    loop.stop()
    loop.join(1)
    assert not loop.thread.is_alive()
    assert caplog.text.count("testing is waiting reason=away") == 1 and "ZeroDivisionError" in caplog.text
