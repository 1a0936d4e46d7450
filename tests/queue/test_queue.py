"""Every move of the queue, on a real Valkey. Leases here last a fifth of a second."""

import json
import threading
import time
import uuid

import pytest

from msaas.errors import QueueUnavailable
from msaas.jobs import State
from msaas.local.processes.child import wait_until
from msaas.queue import DEAD, FENCE, LEASES, PROCESSING, WAITING, Queue
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_redis
from tests.support.environment import BUSY_SECONDS

LEASE = 0.2


@pytest.fixture
def queue(redis):
    return Queue(redis, lease_seconds=LEASE, max_attempts=3)


def new_hash() -> str:
    return str(uuid.uuid4())


def submit(queue, songhash=None, **fields):
    songhash = songhash or new_hash()
    queue.submit(songhash, {"model": "m", **fields})
    return songhash


def claimed(queue, worker="w1"):
    claim = queue.claim(worker)
    assert claim is not None
    return claim


def reaped(queue):
    """What the reaper takes back once a lease has run out by the server's clock, which may be set back meanwhile."""
    found = {}

    def some() -> bool:
        found.update(queue.reap())
        return bool(found)

    assert wait_until(some, BUSY_SECONDS)
    return found


def lists(redis):
    return redis.lrange(WAITING, 0, -1), redis.lrange(PROCESSING, 0, -1), redis.zcard(LEASES)


def test_a_submitted_song_is_claimed_with_its_record(queue, redis):
    songhash = submit(queue, upload='{"bytes":3}')
    claim = claimed(queue)
    assert (claim.songhash, claim.job.state, claim.job.attempts) == (songhash, State.RUNNING, 1)
    assert claim.job.upload == {"bytes": 3}
    assert lists(redis) == ([], [songhash], 1)


def test_songs_come_out_in_the_order_they_went_in(queue):
    hashes = [submit(queue) for _ in range(5)]
    assert [claimed(queue).songhash for _ in hashes] == hashes


def test_nothing_waiting_gives_no_claim(queue):
    assert queue.claim("w1") is None


def test_the_same_song_twice_is_one_job(queue, redis):
    songhash = submit(queue)
    again = queue.submit(songhash, {"model": "m"})
    assert (again.new, again.state) == (False, State.QUEUED)
    assert redis.llen(WAITING) == 1


def test_a_song_in_work_is_not_queued_again(queue, redis):
    songhash = submit(queue)
    claimed(queue)
    assert queue.submit(songhash, {}).state is State.RUNNING
    assert redis.llen(WAITING) == 0


def test_a_done_song_stays_done_unless_its_stems_are_missing(queue):
    songhash = submit(queue)
    queue.finish(claimed(queue), {"stems": {}}, 10)
    assert queue.submit(songhash, {}).state is State.DONE
    assert queue.submit(songhash, {}, stems_missing=True).new
    assert queue.get(songhash).attempts == 0


def test_a_failed_song_posted_again_leaves_the_dead_and_starts_afresh(queue, redis):
    songhash = submit(queue)
    queue.fail(claimed(queue), {"code": "x"}, retry=False)
    assert redis.lrange(DEAD, 0, -1) == [songhash]
    assert queue.submit(songhash, {"model": "m"}).new
    assert redis.llen(DEAD) == 0
    assert claimed(queue).job.error is None


def test_a_queued_record_without_its_list_entry_is_put_right_by_posting_again(queue, redis):
    songhash = submit(queue)
    redis.delete(WAITING)
    assert queue.submit(songhash, {}).new
    assert redis.lrange(WAITING, 0, -1) == [songhash]


def test_a_bare_uuid_pushed_by_hand_is_a_job(queue, redis):
    songhash = new_hash()
    redis.rpush(WAITING, songhash)
    assert queue.get(songhash).state is State.QUEUED
    claim = claimed(queue)
    assert (claim.songhash, claim.job.options) == (songhash, None)
    assert queue.finish(claim, {"stems": {"vocals": "mp3"}}, 1)
    assert queue.get(songhash).stem_extensions == {"vocals": "mp3"}


def test_a_uuid_pushed_by_hand_is_seen_even_while_it_is_being_claimed(queue, redis, monkeypatch):
    read = queue.redis.hgetall

    def read_then_claimed(key):
        record = read(key)
        queue.claim("w")
        return record

    songhash = new_hash()
    redis.rpush(WAITING, songhash)
    monkeypatch.setattr(queue.redis, "hgetall", read_then_claimed)
    assert queue.get(songhash).state is State.RUNNING


def test_an_upper_case_uuid_is_the_same_job(queue, redis):
    songhash = new_hash()
    redis.rpush(WAITING, songhash.upper())
    assert claimed(queue).songhash == songhash


def test_an_entry_that_is_no_uuid_is_dead_at_once_and_stops_nobody(queue, redis):
    redis.rpush(WAITING, "not-a-uuid", "", "{}", "x" * 500)
    songhash = submit(queue)
    assert claimed(queue).songhash == songhash
    assert redis.llen(DEAD) == 4


def test_a_duplicate_of_what_is_in_work_is_dropped(queue, redis):
    songhash = submit(queue)
    redis.rpush(WAITING, songhash)
    claimed(queue)
    assert queue.claim("w2") is None
    assert lists(redis) == ([], [songhash], 1)


def test_a_finished_job_is_done_with_its_result(queue, redis):
    submit(queue)
    claim = claimed(queue)
    assert queue.finish(claim, {"stems": {"vocals": "mp3"}, "duration_seconds": 3.5}, 3.5)
    job = queue.get(claim.songhash)
    assert (job.state, job.progress, job.result["duration_seconds"]) == (State.DONE, 1.0, 3.5)
    assert job.finished_at >= job.started_at >= job.created_at
    assert lists(redis) == ([], [], 0)


def test_progress_is_noted_and_the_lease_renewed(queue, redis):
    submit(queue)
    claim = claimed(queue)
    before = redis.zscore(LEASES, claim.songhash)
    time.sleep(0.02)
    assert queue.renew(claim, {"stage": "separating", "progress": "0.5"}) == "kept"
    assert redis.zscore(LEASES, claim.songhash) > before
    assert (queue.get(claim.songhash).stage, queue.get(claim.songhash).progress) == ("separating", 0.5)


def test_a_lost_workers_job_comes_back_at_the_head(queue, redis):
    lost, waiting = submit(queue), submit(queue)
    claimed(queue)
    assert reaped(queue) == {lost: "queued"}
    assert redis.lrange(WAITING, 0, -1) == [lost, waiting]
    assert claimed(queue, "w2").job.attempts == 2


def test_a_renewed_lease_is_not_reaped(queue):
    submit(queue)
    claim = claimed(queue)
    for _ in range(5):
        time.sleep(LEASE / 2)
        assert queue.renew(claim) == "kept"
        assert queue.reap() == {}


def test_the_third_lost_worker_is_the_last(queue, redis):
    songhash = submit(queue)
    for outcome in ("queued", "queued", "failed"):
        claimed(queue)
        assert reaped(queue) == {songhash: outcome}
    job = queue.get(songhash)
    assert (job.state, job.error["code"], job.attempts) == (State.FAILED, "worker_lost", 3)
    assert redis.lrange(DEAD, 0, -1) == [songhash]
    assert queue.claim("w1") is None


def test_an_old_fence_changes_nothing(queue):
    submit(queue)
    old = claimed(queue)
    reaped(queue)
    assert queue.renew(old, {"stage": "late"}) == "queued"
    new = claimed(queue, "w2")
    before = queue.get(old.songhash)
    assert queue.renew(old, {"stage": "late"}) == "running"
    assert not queue.finish(old, {"stems": {}}, 1)
    assert queue.fail(old, {"code": "late"}, retry=False) == ""
    assert not queue.release(old)
    assert queue.get(old.songhash) == before
    assert queue.finish(new, {"stems": {}}, 1)


def test_fences_rise_over_all_jobs_even_after_a_record_is_deleted(queue, redis):
    submit(queue)
    first = claimed(queue)
    redis.delete(f"job:{first.songhash}")
    submit(queue, first.songhash)
    redis.zrem(LEASES, first.songhash)
    second = claimed(queue)
    assert int(second.fence) > int(first.fence)
    assert int(redis.get(FENCE)) == int(second.fence)


def test_a_failed_run_goes_behind_the_songs_that_wait_and_three_are_enough(queue, redis):
    poison, other = submit(queue), submit(queue)
    assert queue.fail(claimed(queue), {"code": "boom"}, retry=True) == "queued"
    assert redis.lrange(WAITING, 0, -1) == [other, poison]
    assert queue.get(poison).error == {"code": "boom"}
    claimed(queue)
    assert queue.fail(claimed(queue), {"code": "boom"}, retry=True) == "queued"
    assert queue.fail(claimed(queue), {"code": "boom"}, retry=True) == "failed"
    assert queue.get(poison).attempts == 3


def test_an_error_that_no_other_run_would_mend_ends_the_job_at_once(queue):
    songhash = submit(queue)
    assert queue.fail(claimed(queue), {"code": "not_audio", "detail": "d"}, retry=False) == "failed"
    assert queue.get(songhash).error == {"code": "not_audio", "detail": "d"}


def test_a_job_given_back_is_next_and_not_charged(queue, redis):
    first, second = submit(queue), submit(queue)
    assert queue.release(claimed(queue))
    assert redis.lrange(WAITING, 0, -1) == [first, second]
    assert queue.get(first).attempts == 0


def test_a_cancelled_waiting_job_leaves_the_list(queue, redis):
    songhash = submit(queue)
    assert queue.cancel(songhash) is State.QUEUED
    assert queue.get(songhash).state is State.CANCELLED
    assert redis.llen(WAITING) == 0


def test_a_cancelled_run_is_told_at_its_next_heartbeat(queue, redis):
    submit(queue)
    claim = claimed(queue)
    assert queue.cancel(claim.songhash) is State.RUNNING
    assert queue.renew(claim) == "cancelled"
    assert not queue.finish(claim, {"stems": {}}, 1)
    assert lists(redis) == ([], [], 0)


def test_a_song_pushed_by_hand_can_be_cancelled_before_it_has_a_record(queue, redis):
    songhash = new_hash()
    redis.rpush(WAITING, songhash)
    assert queue.cancel(songhash) is State.QUEUED
    assert queue.get(songhash).state is State.CANCELLED


def test_what_has_ended_or_never_was_cannot_be_cancelled(queue):
    assert queue.cancel(new_hash()) is None
    songhash = submit(queue)
    queue.finish(claimed(queue), {"stems": {}}, 1)
    assert queue.cancel(songhash) is State.DONE
    assert queue.get(songhash).state is State.DONE


def test_deleted_leases_do_not_strand_a_job(queue, redis):
    songhash = submit(queue)
    claimed(queue)
    redis.delete(LEASES)
    assert queue.reap() == {}
    assert reaped(queue) == {songhash: "queued"}


def test_a_claim_whose_answer_got_lost_is_found_by_its_workers_name(queue):
    songhash = submit(queue)
    claimed(queue, "w1")
    assert [claim.songhash for claim in queue.claims_of("w1")] == [songhash]
    assert queue.claims_of("w2") == []


def test_waiting_wakes_on_a_push_by_hand_and_leaves_the_list_alone(queue, redis, settings):
    songhash = new_hash()
    woke: list[float] = []

    def wait():
        build_queue(settings).wait(5)
        woke.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.2)
    pushed = time.monotonic()
    redis.rpush(WAITING, songhash)
    waiter.join()
    assert woke[0] - pushed < 1
    assert redis.lrange(WAITING, 0, -1) == [songhash]


def test_fifty_posts_at_once_are_one_job(settings, redis):
    songhash = new_hash()
    queues = [build_queue(settings) for _ in range(10)]
    outcomes: list[bool] = []
    start = threading.Barrier(10)

    def post(queue):
        start.wait()
        outcomes.extend(queue.submit(songhash, {"model": "m"}).new for _ in range(5))

    threads = [threading.Thread(target=post, args=(q,)) for q in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, reverse=True) == [True] + [False] * 49
    assert redis.lrange(WAITING, 0, -1) == [songhash]


def test_many_workers_share_the_songs_without_sharing_one(settings, redis, queue):
    hashes = [submit(queue) for _ in range(200)]
    taken: list[str] = []

    def work(name):
        mine = build_queue(settings)
        while claim := mine.claim(name):
            taken.append(claim.songhash)
            mine.finish(claim, {"stems": {}}, 1)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(hashes)


def test_every_move_is_published(queue, redis):
    listener = redis.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("events")
    listener.get_message(timeout=60)
    submit(queue)
    claim = claimed(queue)
    queue.renew(claim, {"stage": "separating", "progress": "0.25"})
    queue.finish(claim, {"stems": {}}, 1)
    events = [json.loads(listener.get_message(timeout=60)["data"]) for _ in range(4)]
    assert [event["state"] for event in events] == ["queued", "running", "running", "done"]
    assert (events[2]["stage"], events[2]["progress"]) == ("separating", 0.25)
    listener.close()


def test_the_pace_follows_finished_jobs(queue):
    submit(queue)
    queue.finish(claimed(queue), {"stems": {}}, 2.0)
    names = {"seconds_per_job", "seconds_per_audio_second", "run_seconds", "audio_seconds"}
    assert set(queue.pace()) == names | {f"{name}:m" for name in names}


def test_redis_away_is_one_error():
    settings = Settings.from_env({"REDIS_HOST": "127.0.0.1:1"})
    queue = Queue(build_redis(settings, timeout_seconds=1))
    for move in (queue.ping, queue.reap, queue.counts, lambda: queue.claim("w"), lambda: queue.submit("x", {})):
        with pytest.raises(QueueUnavailable):
            move()
