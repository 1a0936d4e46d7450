"""Many songs are queued and cancelled in few round trips."""

import pytest

from msaas.errors import QueueFull
from msaas.queue import Admission, Submission


def test_many_songs_are_submitted_and_cancelled_in_their_order(queue, redis):
    names = [f"song-{number:03}" for number in range(250)]
    queue.submit_all([Submission(name, {"bytes": "1"}) for name in names])
    assert redis.lrange("toWorkers", 0, -1) == names
    queue.submit_all([Submission(name, {"bytes": "1"}) for name in names])  # known: nothing changes
    assert redis.llen("toWorkers") == 250
    queue.cancel_all([*names[1:], "unknown"])
    assert redis.lrange("toWorkers", 0, -1) == names[:1]
    assert {redis.hget(f"job:{name}", "state") for name in names[1:]} == {"cancelled"}


def test_of_many_songs_those_beyond_the_limit_are_refused(queue, redis):
    songs = [Submission(f"song-{number}", {}, admission=Admission(max_waiting=3)) for number in range(5)]
    with pytest.raises(QueueFull):
        queue.submit_all(songs)
    assert redis.llen("toWorkers") == 3
