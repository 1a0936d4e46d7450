"""What was given up can be listed, shown and tried again."""

import json
import uuid

import pytest

from msaas.errors import Conflict, NotFound
from msaas.maintenance import dead_letters
from msaas.queue import DEAD, WAITING, Queue

REASON = {"code": "worker_child_died", "detail": "killed by SIGKILL"}


@pytest.fixture
def dead(queue: Queue, storage, tmp_path):
    """A job with a callback that was given up, its song still stored."""
    songhash = str(uuid.uuid4())
    (tmp_path / "song").write_bytes(b"song")
    storage.put_input(songhash, tmp_path / "song")
    queue.submit(songhash, {"model": "m", "callbacks": "[]"})
    queue.fail(queue.claim("w"), REASON, retry=False)
    return songhash


def test_the_dead_are_listed_with_their_reasons(queue, redis, dead):
    redis.rpush(DEAD, "no uuid")
    assert list(dead_letters.listed(dead_letters.list_all(queue))) == [
        "no uuid  0 attempts  not a songhash, or its record is missing",
        f"{dead}  1 attempts  worker_child_died: killed by SIGKILL",
    ]


def test_one_is_shown_whole(queue, dead):
    shown = json.loads(dead_letters.shown(queue, dead))
    assert (shown["state"], shown["error"]) == ("failed", REASON)
    with pytest.raises(NotFound):
        dead_letters.shown(queue, str(uuid.uuid4()))


def test_a_replayed_job_waits_again_with_all_its_attempts_and_its_record(queue, redis, storage, dead):
    dead_letters.replay(queue, storage, dead)
    job = queue.get(dead)
    assert (job.state, job.attempts, job.error, job.model) == ("queued", 0, None, "m")
    assert redis.hget(f"job:{dead}", "callbacks") == "[]"
    assert (redis.lrange(WAITING, 0, -1), redis.llen(DEAD)) == ([dead], 0)
    assert queue.claim("w").job.attempts == 1


def test_what_is_not_dead_is_not_replayed(queue, redis, storage, dead):
    dead_letters.replay(queue, storage, dead)
    with pytest.raises(Conflict):
        dead_letters.replay(queue, storage, dead)
    assert redis.lrange(WAITING, 0, -1) == [dead]


def test_without_its_song_a_job_is_not_replayed(queue, storage, dead):
    storage.remove_input(dead)
    with pytest.raises(NotFound, match="post it again"):
        dead_letters.replay(queue, storage, dead)
    assert queue.get(dead).state == "failed"


def test_all_are_replayed_and_what_cannot_be_says_why(queue, redis, storage, dead):
    redis.rpush(DEAD, "no uuid")
    outcomes = dict(dead_letters.replay_all(queue, storage))
    assert outcomes[dead] == "queued"
    assert "not a songhash" in outcomes["no uuid"]
