"""Callbacks in Redis: each posting called once, none lost, none taken twice."""

import json
import time
import uuid

import pytest

from msaas.callbacks.admin import chosen, listed, replay, replay_all, view
from msaas.callbacks.outbox import DATA_LIMIT_BYTES, CallbackRequest, Outbox
from msaas.callbacks.schedule import Verdict
from msaas.errors import Conflict, InvalidOption, NotFound
from msaas.outbound.targets import Target

URL = "https://user-tracker.example/hooks/T0KEN?key=S3CRET"
OTHER = "https://b.example/"
DELIVERED = Verdict("delivered")


def posting(url=URL, data=None):
    return CallbackRequest.new(Target.parse(url), url, data)


def take(outbox, count=10, **how):
    return outbox.take(count, **{"limit": 3} | how)


def test_while_its_job_goes_on_a_callback_waits(outbox, submitted):
    songhash = submitted(URL)
    assert take(outbox) == []
    (one,) = outbox.of(songhash)
    assert (one.state, one.due_ms, one.songhash) == ("waiting", None, songhash)


def end_done(queue, claim):
    assert queue.finish(claim, {"stems": {"vocals": "mp3"}}, 1.0)


def end_failed(queue, claim):
    assert queue.fail(claim, {"code": "not_audio", "detail": "no"}, retry=False) == "failed"


def end_cancelled(queue, claim):
    queue.cancel(claim.songhash)


def end_lost(queue, claim):
    for _ in range(3):
        queue.redis.zadd("toWorkers:leases", {claim.songhash: 1})
        if queue.reap() == {claim.songhash: "failed"}:
            return
        queue.claim("w")
    raise AssertionError("not given up")


@pytest.mark.parametrize(
    ("end", "state"),
    [(end_done, "done"), (end_failed, "failed"), (end_cancelled, "cancelled"), (end_lost, "failed")],
)
def test_however_a_job_ends_its_callbacks_come_due_in_the_same_step(queue, outbox, submitted, end, state):
    songhash = submitted(URL, OTHER)
    end(queue, queue.claim("w"))
    taken = take(outbox)
    assert {one.url for one in taken} == {URL, OTHER}
    assert {(one.job.state, one.songhash, one.state) for one in taken} == {(state, songhash, "pending")}
    assert queue.redis.keys("callbacks:waiting:*") == []


def test_a_cancelled_job_that_nobody_claimed_calls_too(queue, outbox, submitted):
    queue.cancel(submitted(URL))
    assert len(take(outbox)) == 1


def test_a_run_that_is_tried_again_calls_nobody(queue, outbox, submitted):
    submitted(URL)
    queue.fail(queue.claim("w"), {"code": "x"}, retry=True)
    queue.release(queue.claim("w"))
    assert take(outbox) == []


def test_a_job_without_callbacks_leaves_no_trace_in_the_outbox(redis, finished):
    finished()
    assert list(redis.scan_iter("callback*")) == []


def test_a_callback_posted_for_a_done_job_is_due_at_once_each_time(outbox, finished, submitted):
    songhash = finished()
    submitted(URL, songhash=songhash)
    submitted(URL, songhash=songhash)
    first = take(outbox)
    assert [one.job.state for one in first] == ["done"]
    outbox.settle(first[0], DELIVERED, "")
    second = take(outbox)
    assert len(second) == 1 and second[0].id != first[0].id


def test_the_same_callback_posted_again_while_the_job_goes_on_is_one(queue, outbox, submitted):
    songhash = submitted(URL, data={"a": 1, "b": 2})
    submitted(URL, data={"b": 2, "a": 1}, songhash=songhash)
    queue.claim("w")
    submitted(URL, data={"a": 1, "b": 2}, songhash=songhash)
    assert len(outbox.of(songhash)) == 1


@pytest.mark.parametrize(("url", "data"), [(OTHER, None), (URL, 1), (URL, "1"), (URL + "&x", None)])
def test_another_url_or_other_data_is_another_callback(outbox, submitted, url, data):
    songhash = submitted(URL)
    submitted(url, data=data, songhash=songhash)
    assert len(outbox.of(songhash)) == 2


def test_a_song_queued_anew_keeps_what_waits_and_recalls_nobody(queue, outbox, submitted):
    songhash = submitted(URL)
    queue.fail(queue.claim("w"), {"code": "x"}, retry=False)
    submitted(OTHER, songhash=songhash)
    end_done(queue, queue.claim("w"))
    assert sorted((one.url, one.job.state) for one in take(outbox)) == [(OTHER, "done"), (URL, "failed")]


def test_a_mended_record_keeps_its_callbacks(queue, outbox, redis, submitted):
    songhash = submitted(URL)
    redis.delete("toWorkers")
    submitted(songhash=songhash)
    end_done(queue, queue.claim("w"))
    assert len(take(outbox)) == 1


def test_too_many_for_one_song_are_refused_and_change_nothing(queue, redis, submitted):
    songhash = submitted(URL)
    redis.hset(f"callbacks:waiting:{songhash}", mapping={str(n): str(n) for n in range(999)})
    with pytest.raises(Conflict, match="too many callbacks"):
        submitted(OTHER, songhash=songhash)
    submitted(URL, songhash=songhash)  # it is there already
    submitted(songhash=songhash)


def test_data_is_kept_to_the_letter_and_within_its_limit(queue, outbox, submitted):
    data = {"empty": [], "none": {}, "big": 2**60 + 1, "text": "ä\n\u2028", "float": 1.5}
    submitted(URL, data=data)
    end_done(queue, queue.claim("w"))
    assert json.loads(take(outbox)[0].data) == data
    with pytest.raises(InvalidOption, match=str(DATA_LIMIT_BYTES)):
        posting(data="x" * DATA_LIMIT_BYTES)
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidOption, match="deep"):
        posting(data=nested)


def test_what_is_taken_is_no_one_elses_until_its_lease_runs_out(redis, finished):
    outbox = Outbox(redis, lease_seconds=1.5)
    finished(URL)
    (first,) = take(outbox)
    assert take(outbox) == []
    time.sleep(1.55)
    (second,) = take(outbox)
    assert (second.id, second.attempts) == (first.id, 2)
    assert not outbox.settle(first, DELIVERED, ""), "a sender that wakes late changes nothing"
    assert outbox.settle(second, DELIVERED, "")


def test_a_callback_that_kills_each_of_its_senders_is_given_up(redis, finished):
    outbox = Outbox(redis, lease_seconds=0.02)
    songhash = finished(URL)
    for _ in range(3):
        assert take(outbox)
        time.sleep(0.03)
    assert take(outbox) == []
    (one,) = outbox.of(songhash)
    assert (one.state, one.due_ms) == ("failed", None)
    assert "died" in one.last_error


def test_a_failed_attempt_comes_due_again_and_says_why(outbox, redis, finished):
    songhash = finished(URL)
    (one,) = take(outbox)
    outbox.settle(one, Verdict("pending", 60), "answered 500")
    (seen,) = outbox.of(songhash)
    assert (seen.state, seen.last_error, seen.attempts) == ("pending", "answered 500", 1)
    seconds, _ = redis.time()
    assert seen.due_ms / 1000 == pytest.approx(seconds + 60, abs=2)
    assert take(outbox) == []


@pytest.mark.parametrize("state", ["delivered", "failed", "refused"])
def test_what_has_ended_leaves_the_outbox_and_is_forgotten_in_time(outbox, redis, finished, state):
    songhash = finished(URL)
    (one,) = take(outbox)
    outbox.settle(one, Verdict(state), "why")
    assert redis.zcard("callbacks") == 0
    assert 0 < redis.ttl(f"callback:{one.id}") <= 30 * 24 * 3600
    assert 0 < redis.ttl(f"callbacks:of:{songhash}") <= 30 * 24 * 3600
    assert outbox.of(songhash)[0].ended_ms


def test_one_receiver_gets_one_at_a_time_and_hides_nobody(queue, outbox, redis, submitted):
    songhash = submitted(*[f"https://slow.example/{n}" for n in range(5)])
    submitted(OTHER, songhash=songhash)
    end_done(queue, queue.claim("w"))
    assert {one.origin for one in take(outbox)} == {"https://slow.example", "https://b.example"}
    assert take(outbox, in_flight=[("", "https://slow.example")]) == []
    assert len(take(outbox)) == 1


def test_thousands_due_for_a_slow_receiver_let_another_by(outbox, redis, finished):
    finished(OTHER)
    slow = {f"msg_{n}": 1 for n in range(2500)}
    redis.zadd("callbacks", slow)
    with redis.pipeline() as pipe:
        for id_ in slow:
            pipe.hset(f"callback:{id_}", mapping={"origin": "https://slow.example", "attempts": 0, "state": "pending"})
        pipe.execute()
    assert outbox.adopt() == 2500
    found = [take(outbox, in_flight=[("", "https://slow.example")]) for _ in range(20)]
    assert [one.url for batch in found for one in batch] == [OTHER]


def test_an_entry_whose_record_was_deleted_is_dropped(outbox, redis, finished):
    finished(URL)
    redis.delete(*redis.keys("callback:*"))
    assert take(outbox) == []
    assert redis.zcard("callbacks") == 0


# --- for people


def test_what_is_shown_holds_no_path_no_query_and_no_data(outbox, finished):
    songhash = finished(URL, data="S3CRET")
    shown = view(outbox.of(songhash)[0])
    assert shown["to"] == "https://user-tracker.example"
    assert shown["state"] == "pending" and shown["next_attempt_at"] and shown["last_error"] is None
    text = json.dumps(shown) + repr(outbox.of(songhash)) + "".join(listed(outbox.of(songhash)))
    assert "T0KEN" not in text and "S3CRET" not in text


def test_a_failed_callback_is_found_and_sent_again_as_the_same_message(outbox, finished, submitted):
    songhash = finished(URL)
    (one,) = take(outbox)
    outbox.settle(one, Verdict("failed"), "answered 410")
    (line,) = listed(chosen(outbox, state="failed"))
    assert one.id in line and songhash in line and "answered 410" in line
    assert dict(replay_all(outbox)) == {one.id: "pending"}
    (again,) = take(outbox)
    assert (again.id, again.attempts, again.snapshot) == (one.id, 1, one.snapshot)
    assert outbox.redis.ttl(f"callback:{one.id}") == -1


def test_what_is_unknown_or_still_waits_is_not_replayed(outbox, submitted):
    with pytest.raises(NotFound):
        replay(outbox, "msg_0")
    (one,) = outbox.of(submitted(URL))
    with pytest.raises(Conflict):
        replay(outbox, one.id)
    assert take(outbox) == []


def test_of_many_the_newest_are_shown_first(outbox, submitted):
    songhash = str(uuid.uuid4())
    for n in range(25):
        submitted(f"https://a.example/{n}", songhash=songhash)
    assert [one.url.rpartition("/")[2] for one in outbox.of(songhash)] == [str(n) for n in range(24, 4, -1)]
    assert len(chosen(outbox, songhash=songhash, state="waiting")) == 25
