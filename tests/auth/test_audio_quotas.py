"""Audio and songs are charged in the step that queues the song, however many are posted at once."""

from __future__ import annotations

from collections import Counter

import pytest

from msaas.errors import QueueFull, QuotaExceeded
from msaas.queue import Admission
from msaas.queue.audio_length import AudioLength
from tests.auth.conftest import ACCOUNT, at_once, quotas, used

# --- the day's audio, charged where the song is queued


def new_songs(queue, seconds, limit, count=50, first=0, maximum=0):
    def submit(n):
        try:
            terms = Admission(
                account=ACCOUNT, audio_seconds=seconds, audio_max_seconds=maximum, audio_limit_seconds=limit
            )
            return queue.submit(f"00000000-0000-4000-8000-{first + n:012}", {"model": "m"}, admission=terms)
        except QuotaExceeded as error:
            return error

    return at_once(submit, count)


def test_fifty_songs_at_once_are_charged_no_more_than_the_day_holds(queue, redis):
    found = new_songs(queue, seconds=60, limit=630)
    refused = [one for one in found if isinstance(one, QuotaExceeded)]
    assert (len(refused), used(redis), redis.llen("toWorkers")) == (40, 600, 10)
    assert {one.code for one in refused} == {"audio_quota_exceeded"}
    assert {one.retry_after_seconds for one in refused} == {30}  # when one of them has ended there may be room again
    while claim := queue.claim("w"):
        queue.finish(claim, {"stems": {}, "duration_seconds": 60}, 60)
    (late,) = new_songs(queue, seconds=60, limit=630, count=1, first=99)
    assert 80_000 < late.retry_after_seconds <= 86_400


def test_one_song_posted_fifty_times_is_charged_once(queue, redis):
    terms = Admission(account=ACCOUNT, audio_seconds=60, audio_limit_seconds=60)
    found = at_once(lambda _: queue.submit("00000000-0000-4000-8000-000000000001", {}, admission=terms))
    assert (sum(one.new for one in found), used(redis)) == (1, 60)


def test_a_song_that_is_longer_than_its_file_says_is_charged_when_that_is_known(queue, redis):
    new_songs(queue, seconds=1, limit=600, count=1)
    claim = queue.claim("w")
    counted = quotas(redis, audio_minutes=10)
    assert counted.audio_room(ACCOUNT, AudioLength(1, 1)).left == 598
    queue.finish(claim, {"stems": {}, "duration_seconds": 599.5}, 599.5)
    assert counted.audio_room(ACCOUNT, AudioLength(1, 1)).refusal
    assert used(redis) == 600
    assert not redis.hgetall(f"quota:{ACCOUNT}:open")


def test_a_song_that_is_shorter_gives_the_rest_back(queue, redis):
    new_songs(queue, seconds=500, limit=600, count=1)
    queue.finish(queue.claim("w"), {"stems": {}, "duration_seconds": 10.2}, 10.2)
    assert quotas(redis, audio_minutes=10).audio_room(ACCOUNT, AudioLength(0, 0)).left == 589
    assert used(redis) == 11


# --- files that lie


def test_songs_that_say_less_than_they_may_hold_let_no_more_in_than_the_day_holds(queue, redis):
    """Forty of a minute that say a second, limit ten minutes: each is separated as soon as it is let in."""
    let_in = 0
    for n in range(40):
        (found,) = new_songs(queue, seconds=1, maximum=14_400, limit=600, count=1, first=n)
        if not isinstance(found, QuotaExceeded):
            queue.finish(queue.claim("w"), {"stems": {}, "duration_seconds": 60}, 60)
            let_in += 1
    assert (let_in, used(redis)) == (10, 600)


def test_until_it_has_ended_a_song_takes_all_that_it_may_hold_or_what_is_left(queue, redis):
    found = new_songs(queue, seconds=1, maximum=250, limit=600)
    refused = [one for one in found if isinstance(one, QuotaExceeded)]
    assert (len(found) - len(refused), used(redis)) == (3, 600)  # 250, 250, 100
    assert {(one.code, one.retry_after_seconds) for one in refused} == {("audio_quota_exceeded", 30)}
    assert "unfinished songs" in str(refused[0])
    queue.finish(queue.claim("w"), {"stems": {}, "duration_seconds": 60}, 60)
    assert 260 <= used(redis) <= 410


def test_a_song_that_is_cancelled_before_it_runs_costs_nothing(queue, redis):
    new_songs(queue, seconds=60, maximum=250, limit=600, count=1)
    queue.cancel(queue.waiting()[0])
    assert used(redis) == 0
    assert not redis.keys("quota:*:open")


@pytest.mark.parametrize(
    "pace",
    [
        {"seconds_per_audio_second": "0.5"},
        {"seconds_per_audio_second": "40", "seconds_per_audio_second:m": "0.5"},
        {"seconds_per_audio_second": "0.5", "seconds_per_audio_second:m": "nan"},
    ],
    ids=["of all models", "of its model", "of its model, damaged"],
)
@pytest.mark.parametrize("end", ["cancelled", "failed", "failed twice", "lost"])
def test_a_run_that_comes_to_nothing_costs_what_could_have_been_separated_meanwhile(queue, redis, end, pace):
    """Never more than was charged."""
    redis.hset("toWorkers:pace", mapping=pace)

    def run(seconds):
        claim = queue.claim("w")
        started_ms = int(redis.hget(f"job:{claim.songhash}", "started_ms")) - seconds * 1000
        redis.hset(f"job:{claim.songhash}", "started_ms", started_ms)
        return claim

    new_songs(queue, seconds=1, maximum=250, limit=600, count=1)
    claim = run(50)
    if end == "cancelled":
        queue.cancel(claim.songhash)
    elif end == "failed":
        queue.fail(claim, {"code": "x"}, retry=False)
    elif end == "lost":
        queue.max_attempts = 1
        redis.zadd("toWorkers:leases", {claim.songhash: 1})
        queue.reap()
    else:
        assert queue.fail(claim, {"code": "x"}, retry=True) == "queued"
        queue.fail(run(30), {"code": "x"}, retry=False)
    assert (160 if end == "failed twice" else 100) <= used(redis) <= 250
    assert not redis.exists(f"quota:{ACCOUNT}:open")
    assert not {"account", "ran_ms"} & redis.hgetall(f"job:{claim.songhash}").keys()

    new_songs(queue, seconds=1, maximum=20, limit=600, count=1, first=1)
    before = used(redis)
    queue.cancel(run(50).songhash)
    assert used(redis) == before  # 20 charged, and 100 computed


def test_a_callers_songs_that_have_not_ended_have_a_limit(queue, redis):
    def submit(n, account=ACCOUNT):
        terms = Admission(account=account, max_open=3)
        return queue.submit(f"00000000-0000-4000-8000-{n:012}", {}, admission=terms).new

    assert [submit(n) for n in (1, 2, 3)] == [True] * 3
    with pytest.raises(QuotaExceeded) as refused:
        submit(4)
    assert (refused.value.code, refused.value.retry_after_seconds) == ("too_many_songs", 30)
    assert submit(3) is False  # known
    assert submit(5, "key ben")
    queue.claim("w")
    with pytest.raises(QuotaExceeded):  # running ones count
        submit(4)
    queue.cancel(queue.in_work()[0])
    assert submit(4)
    redis.delete(*redis.keys("job:*"))  # by hand: what is gone is counted no longer
    assert submit(6)


def test_a_queue_of_its_greatest_length_takes_no_new_song_and_knows_the_old_ones(queue, redis):
    terms = Admission(max_waiting=3)

    def submit(n):
        try:
            return queue.submit(f"00000000-0000-4000-8000-{n:012}", {}, admission=terms).new
        except QueueFull:
            return "full"

    assert Counter(at_once(submit)) == {True: 3, "full": 47}
    assert redis.llen("toWorkers") == 3
    assert submit(int(redis.lindex("toWorkers", 0)[-12:])) is False
