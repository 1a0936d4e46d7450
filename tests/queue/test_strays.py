"""Jobs whose record and lists disagree, since somebody deleted a list or wrote nonsense, are put right."""

from __future__ import annotations

import uuid

from msaas.jobs import State
from msaas.maintenance.housekeeping import Housekeeper
from msaas.queue import DEAD, LEASES, PROCESSING, WAITING


def new_song(queue):
    songhash = str(uuid.uuid4())
    queue.submit(songhash, {"model": "m"})
    return songhash


def test_a_queued_record_that_stands_in_no_list_waits_again(queue, redis, storage):
    songs = {new_song(queue) for _ in range(3)}
    redis.delete(WAITING)
    assert Housekeeper(queue, storage).repair() == dict.fromkeys(songs, "queued")
    assert set(redis.lrange(WAITING, 0, -1)) == songs
    assert queue.repair() == {}


def test_a_running_record_whose_lists_were_deleted_has_a_lease_again_and_its_claim_holds(queue, redis):
    song = new_song(queue)
    claim = queue.claim("w")
    redis.delete(PROCESSING, LEASES)
    assert queue.repair() == {song: "running"}
    assert redis.lrange(PROCESSING, 0, -1) == [song]
    assert queue.finish(claim, {"stems": {}}, 1)
    assert (queue.get(song).state, redis.llen(PROCESSING), redis.zcard(LEASES)) == (State.DONE, 0, 0)


def test_a_live_worker_brings_its_own_deleted_entries_back(queue, redis):
    song = new_song(queue)
    claim = queue.claim("w")
    redis.delete(PROCESSING, LEASES)
    assert queue.renew(claim) == "kept"
    assert (redis.lrange(PROCESSING, 0, -1), redis.zrange(LEASES, 0, -1)) == ([song], [song])


def test_a_state_that_is_none_is_closed_with_a_reason_and_can_be_replayed(queue, redis):
    song = new_song(queue)
    redis.delete(WAITING)
    redis.hset(f"job:{song}", "state", "bogus")
    assert queue.get(song).error["code"] == "record_broken"
    assert queue.repair() == {song: "failed"}
    assert redis.lrange(DEAD, 0, -1) == [song]
    assert queue.replay(song)


def test_jobs_that_stand_where_they_should_are_left_alone(queue, redis):
    for _ in range(4):
        new_song(queue)
    queue.claim("w")
    queue.finish(queue.claim("w"), {"stems": {}}, 1)
    before = (redis.lrange(WAITING, 0, -1), redis.lrange(PROCESSING, 0, -1))
    assert queue.repair() == {}
    assert (redis.lrange(WAITING, 0, -1), redis.lrange(PROCESSING, 0, -1)) == before


def test_entries_that_are_no_text_are_listed_and_buried(queue, redis):
    redis.execute_command("RPUSH", WAITING, b"\xff\xfe")
    song = new_song(queue)
    assert queue.waiting() == ["\\xff\\xfe", song]
    assert queue.wait(0.1)
    assert queue.claim("w").songhash == song
    assert queue.dead() == ["\\xff\\xfe"]


def test_one_record_that_cannot_be_read_stops_no_ageing_out(queue, redis):
    songs = [new_song(queue) for _ in range(4)]
    for _ in songs:
        queue.finish(queue.claim("w"), {"stems": {}}, 1)
    redis.hset(f"job:{songs[0]}", "state", "bogus")
    redis.hset(f"job:{songs[1]}", "finished_ms", "abc")
    redis.set(f"job:{uuid.uuid4()}", "no hash")
    assert set(queue.ended_before(-5)) == set(songs[2:])  # the clock is read in whole seconds
    assert [queue.retire(song, 0) for song in songs[2:]] == ["forgotten"] * 2
