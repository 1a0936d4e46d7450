"""Workers say that they live and what they run; a song that none of them runs waits, and says for what."""

import pytest

from msaas.local.processes.child import wait_until
from msaas.queue import worker_registry
from msaas.queue.worker_registry import WORKERS, Worker, Workers

SMALL = Worker("one", ("htdemucs_mini",))
BOTH = Worker("two", ("htdemucs", "htdemucs_mini"))
LOADING = Worker("three", reason="the separation process has not started yet")


def test_what_workers_announce_is_known_until_they_withdraw(queue):
    assert queue.workers() == Workers()
    for worker in (SMALL, BOTH, LOADING):
        queue.announce(worker)
    found = queue.workers()
    assert sorted(found.live, key=lambda one: one.name) == [SMALL, LOADING, BOTH]
    assert (found.ready, found.models) == (2, ("htdemucs", "htdemucs_mini"))
    assert [found.offering(model) for model in ("htdemucs_mini", "htdemucs", "other", "")] == [2, 1, 0, 2]
    queue.withdraw("two")
    assert queue.workers().offering("htdemucs") == 0


def test_a_worker_that_says_no_more_is_forgotten(queue, redis, monkeypatch):
    queue.announce(BOTH)
    monkeypatch.setattr(worker_registry, "OFFER_SECONDS", 0.05)
    queue.announce(SMALL)
    assert wait_until(lambda: not queue.workers().live, 20)  # the key goes with the word that lasts shortest


def test_those_that_are_forgotten_leave_the_hash(queue, redis):
    redis.hset(WORKERS, "lost", '1 {"models":["htdemucs"],"trouble":""}')
    assert queue.workers() == Workers()
    queue.announce(SMALL)
    assert redis.hkeys(WORKERS) == ["one"]


@pytest.mark.parametrize(
    "text", ["", "soon {}", "99999999999999 [", "99999999999999 {}", '99999999999999 {"models":1}']
)
def test_what_somebody_wrote_by_hand_is_no_workers_word(text, queue, redis):
    redis.hset(WORKERS, "hand", text)
    assert queue.workers() == Workers()
    queue.announce(SMALL)
    assert queue.workers() == Workers((SMALL,))


def test_a_key_of_another_type_is_put_right(queue, redis):
    redis.set(WORKERS, "text")
    assert queue.workers() == Workers()
    queue.announce(SMALL)
    assert queue.workers() == Workers((SMALL,))


def test_a_song_waits_for_a_worker_or_for_one_with_its_model():
    assert Workers((SMALL, LOADING)).why_waiting("htdemucs_mini") is None
    assert Workers((SMALL,)).why_waiting("") is None
    for nobody in (Workers(), Workers((LOADING,))):
        assert nobody.why_waiting("htdemucs")["code"] == nobody.why_waiting("")["code"] == "no_worker"
    missing = Workers((SMALL,)).why_waiting("htdemucs")
    assert missing["code"] == "model_not_offered"
    assert "htdemucs" in missing["detail"] and "htdemucs_mini" in missing["detail"]
