"""What ETAs are made of: the pace of finished runs, and the line ahead of a song, both by the songs' own lengths.

Runs take hundreds of seconds here, so that the seconds a busy machine takes between two lines of a test are nothing.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from msaas.jobs import Job, State
from msaas.queue import Claim, Queue
from msaas.queue.position import MAX_EXAMINED, NOTHING_AHEAD
from msaas.web.eta import eta_seconds


def submit(queue: Queue, seconds: float, model: str = "m", **refine: str) -> str:
    songhash, upload = str(uuid.uuid4()), json.dumps({"duration_seconds": seconds})
    options = {"options": json.dumps({"model": model, "refine": refine})} if refine else {}
    queue.submit(songhash, {"model": model, "upload": upload, **options})
    return songhash


def claimed(queue: Queue) -> Claim:
    claim = queue.claim("w")
    assert claim
    return claim


def ran(queue: Queue, redis: Any, audio_seconds: float, run_seconds: float, model: str = "m", **refine: str) -> None:
    """A job that took so long, as the record and Redis' clock have it."""
    submit(queue, audio_seconds, model, **refine)
    claim = claimed(queue)
    seconds, microseconds = redis.time()
    redis.hset(f"job:{claim.songhash}", "started_ms", int((seconds + microseconds / 1e6 - run_seconds) * 1000))
    assert queue.finish(claim, {"stems": {}, "work": 1 + len(refine)}, audio_seconds)


def eta(queue: Queue, songhash: str, workers: int = 1) -> float:
    job, position = queue.get(songhash), queue.position(songhash)
    assert job is not None and position is not None
    found = eta_seconds(job, line=queue.line(position), workers=workers, pace=queue.pace(), now=time.time())
    assert found is not None
    return found


@pytest.mark.parametrize("clip_seconds", [0.02, 1 / 44100])
def test_three_clips_do_not_make_a_song_of_six_seconds_take_a_minute(queue, redis, clip_seconds):
    for _ in range(3):
        ran(queue, redis, clip_seconds, run_seconds=150)
    assert eta(queue, submit(queue, 6)) == pytest.approx(150, rel=0.1)
    # a longer song is foretold at a segment's pace, not at a clip's
    queue.cancel(queue.waiting()[0])
    assert eta(queue, submit(queue, 240)) == pytest.approx(4500, rel=0.1)


def test_a_song_weighs_as_much_as_it_is_long(queue, redis):
    ran(queue, redis, 240, run_seconds=6000)
    for _ in range(3):
        ran(queue, redis, 0.02, run_seconds=400)
    assert eta(queue, submit(queue, 240)) == pytest.approx(6636, rel=0.1)


def test_the_pace_follows_a_change_of_machine_within_a_few_songs(queue, redis):
    for run_seconds in [6000] * 3 + [600] * 8:
        ran(queue, redis, 240, run_seconds)
    assert eta(queue, submit(queue, 240)) == pytest.approx(1084, rel=0.1)


def test_each_model_has_its_own_pace(queue, redis):
    for model, run_seconds in (("fine", 8000), ("small", 400), ("fine", 8000), ("small", 400)):
        ran(queue, redis, 80, run_seconds, model)
    assert eta(queue, submit(queue, 160, "fine")) == pytest.approx(16000, rel=0.1)
    assert eta(queue, submit(queue, 160, "small")) == pytest.approx(16000 + 800, rel=0.1)  # behind the other
    queue.cancel(queue.waiting()[0])
    assert eta(queue, queue.waiting()[0]) == pytest.approx(800, rel=0.1)


def test_a_model_without_a_run_has_the_pace_of_all(queue, redis):
    ran(queue, redis, 80, 400, "small")
    assert eta(queue, submit(queue, 160, "new")) == pytest.approx(800, rel=0.1)


def test_a_slow_model_that_refines_a_stem_does_not_slow_down_the_pace_of_the_songs_model(queue, redis):
    for _ in range(3):
        ran(queue, redis, 80, 400)
    assert eta(queue, submit(queue, 80, drums="slow")) == pytest.approx(800, rel=0.1)  # not known yet: two passes
    queue.cancel(queue.waiting()[0])
    for _ in range(3):
        ran(queue, redis, 80, 4400, drums="slow")
    assert queue.pace()["seconds_per_audio_second:m"] == pytest.approx(5, rel=0.1)
    assert eta(queue, submit(queue, 80)) == pytest.approx(400, rel=0.1)
    queue.cancel(queue.waiting()[0])
    assert eta(queue, submit(queue, 80, drums="slow")) == pytest.approx(4400, rel=0.1)
    queue.cancel(queue.waiting()[0])
    assert eta(queue, submit(queue, 80, drums="slow", vocals="slow")) == pytest.approx(6600, rel=0.1)


def test_a_model_that_refines_its_own_stem_has_its_own_pace(queue, redis):
    ran(queue, redis, 80, 800, drums="m")
    assert queue.pace()["seconds_per_audio_second:m"] == pytest.approx(5, rel=0.1)


def test_a_song_without_a_model_counts_for_all_of_them_only(queue, redis):
    redis.rpush("toWorkers", str(uuid.uuid4()))
    assert queue.finish(claimed(queue), {"stems": {}}, 8)
    assert not [name for name in queue.pace() if ":" in name]


def test_behind_a_song_of_eight_minutes_its_minutes_are_told(queue, redis):
    ran(queue, redis, 6, run_seconds=300)
    ran(queue, redis, 60, run_seconds=2400)
    rate = queue.pace()["seconds_per_audio_second"]
    long, short, last = submit(queue, 480), submit(queue, 6), submit(queue, 6)
    assert eta(queue, short) == pytest.approx(488 * rate, rel=0.01)
    assert claimed(queue).songhash == long
    assert eta(queue, short) == pytest.approx(488 * rate, rel=0.05)
    assert eta(queue, last) == pytest.approx(496 * rate, rel=0.05)
    assert eta(queue, short, workers=2) == pytest.approx(8 * rate, rel=0.01)


def test_a_damaged_or_older_pace_starts_afresh(queue, redis):
    redis.hset("toWorkers:pace", mapping={"seconds_per_job": "4", "seconds_per_audio_second": "75"})
    ran(queue, redis, 8, run_seconds=200)
    assert queue.pace()["seconds_per_audio_second"] == pytest.approx(25, rel=0.1)


def test_the_line_is_looked_at_to_a_bound_and_counted_beyond(queue):
    assert queue.line(0) == NOTHING_AHEAD
    running = [submit(queue, 1) for _ in range(2)]
    for _ in running:
        claimed(queue)
    waiting = [submit(queue, seconds) for seconds in range(MAX_EXAMINED + 5)]
    line = queue.line(MAX_EXAMINED + 3)
    assert [job.songhash for job in line.in_work] == running
    assert [job.songhash for job in line.ahead] == waiting[:MAX_EXAMINED]
    assert (line.more_in_work, line.more_ahead) == (0, 3)
    assert [job.duration_seconds for job in line.ahead[:3]] == [0, 1, 2]
    assert queue.line(1).more_ahead == 0


def test_a_damaged_record_ahead_holds_up_no_view(queue, redis):
    damaged, strange, sound = (str(uuid.uuid4()) for _ in range(3))
    redis.set(f"job:{damaged}", "text")
    redis.hset(f"job:{strange}", mapping={"state": "nonsense", "upload": "[", "progress": "x", "started_ms": "abc"})
    redis.hset(f"job:{sound}", mapping={"state": "queued", "upload": '{"duration_seconds": 5}'})
    redis.rpush("toWorkers", damaged, strange, sound)
    redis.rpush("toWorkers:processing", damaged, strange)
    line = queue.line(3)
    assert [job.duration_seconds for job in (*line.in_work, *line.ahead)] == [None, None, None, None, 5]
    pace = {"seconds_per_job": 60.0, "seconds_per_audio_second": 0.5}
    eta = eta_seconds(Job("new", State.QUEUED), line=line, workers=1, pace=pace, now=time.time())
    assert eta is not None and eta >= 0


def test_a_song_pushed_by_hand_has_its_place_in_the_line(queue, redis):
    redis.rpush("toWorkers", str(uuid.uuid4()), "no songhash")
    assert [job.upload for job in queue.line(2).ahead] == [{}, {}]
