"""Whoever has many callbacks, or slow receivers, delays and fills up nobody's but their own."""

from __future__ import annotations

import json
import uuid

import pytest

from msaas.callbacks.outbox import CallbackRequest
from msaas.callbacks.schedule import Verdict
from msaas.errors import QuotaExceeded
from msaas.outbound.targets import Target
from msaas.queue import Admission
from tests.support.receivers import answers, hangs

GREEDY, MODEST = "key greedy", "key modest"
MAX_OPEN_BYTES, MAX_ENDED = 32_000_000, 1000  # of queue/lua/callbacks/outbox.lua


@pytest.fixture
def ended(queue):
    """A job that is done, with callbacks of one owner to these URLs; its songhash."""

    def end(owner, *urls, songhash="", data=None):
        songhash = songhash or str(uuid.uuid4())
        fields = {"model": "m"}
        if queue.get(songhash) is None:
            queue.submit(songhash, fields)
            assert queue.finish(queue.claim("w"), {"stems": {"vocals": "mp3"}}, 1.0)
        for url in urls:
            posting = CallbackRequest.new(Target.parse(url), url, data)
            queue.submit(songhash, fields, callback=posting.args, admission=Admission(account=owner))
        return songhash

    return end


def take(outbox, count=16, share=4, in_flight=()):
    return outbox.take(count, limit=3, share=share, in_flight=in_flight)


def many(host, count):
    return [f"https://{host}{n}.example/" for n in range(count)]


def test_one_owner_with_many_receivers_leaves_places_to_others(outbox, ended):
    ended(GREEDY, *many("slow", 160))
    ended(MODEST, "https://quick.example/")
    taken = take(outbox)
    assert [one.owner for one in taken].count(GREEDY) == 4
    assert [one.owner for one in taken].count(MODEST) == 1
    assert take(outbox, in_flight=[(one.owner, one.origin) for one in taken]) == []
    assert len(take(outbox, in_flight=[(GREEDY, "https://slow0.example")])) == 3


def test_who_has_the_fewest_on_their_way_goes_first(outbox, ended):
    ended(GREEDY, *many("slow", 10))
    ended(MODEST, *many("quick", 10))
    taken = take(outbox, count=3, in_flight=[(GREEDY, f"https://elsewhere{n}.example") for n in range(2)])
    assert [one.owner for one in taken][:2] == [MODEST, MODEST]


def test_owners_that_call_the_same_receiver_take_turns(outbox, ended):
    ended(GREEDY, *[f"https://hooks.example/{n}" for n in range(50)])
    ended(MODEST, *[f"https://hooks.example/mine/{n}" for n in range(3)])
    served = []
    for _ in range(6):
        (one,) = take(outbox)  # one at a time: the receiver is busy meanwhile
        outbox.settle(one, Verdict("delivered"), "")
        served.append(one.owner)
    assert served.count(MODEST) == 3


@pytest.mark.parametrize("polls", [0, 1, 3])
def test_three_owners_of_one_receiver_take_turns_also_while_it_is_slow(polls, outbox, ended):
    owners = (GREEDY, MODEST, "key third")
    for owner in owners:
        ended(owner, *[f"https://hooks.example/{owner[4:]}/{n}" for n in range(9)])
    served = []
    for _ in range(9):
        (one,) = take(outbox)
        for _ in range(polls):  # the receiver is still busy with it
            assert take(outbox, in_flight=[(one.owner, one.origin)]) == []
        outbox.settle(one, Verdict("delivered"), "")
        served.append(one.owner)
    assert sorted(served[:3]) == sorted(owners)
    assert served == served[:3] * 3


def test_owners_take_turns_within_a_millisecond(outbox, ended, redis):
    ended(GREEDY, *[f"https://hooks.example/{n}" for n in range(50)])
    ended(MODEST, *[f"https://hooks.example/mine/{n}" for n in range(3)])
    with redis.pipeline() as pipe:  # one time for all commands of a transaction
        for _ in range(6):
            outbox._scripts["take"](args=["t", 1000, 3, 1, 4], client=pipe)
        taken = pipe.execute()
    owners = [redis.hget(f"callback:{id_}", "owner") for ((id_, *_),) in taken]
    assert owners.count(MODEST) == 3


DUE_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  redis.call('ZADD', KEYS[1], now, id)
end
redis.call('ZADD', 'callbacks:owners', now, ARGV[1])
"""


def test_owners_whose_callbacks_became_due_in_this_millisecond_take_turns(outbox, ended, redis):
    ended(GREEDY, *[f"https://hooks.example/{n}" for n in range(50)])
    ended(MODEST, *[f"https://hooks.example/mine/{n}" for n in range(3)])
    with redis.pipeline() as pipe:  # one time for all commands of a transaction
        for owner in (GREEDY, MODEST):
            pipe.eval(DUE_NOW, 1, f"callbacks:due:{owner}", owner)
        for _ in range(6):
            outbox._scripts["take"](args=["t", 1000, 3, 16, 4], client=pipe)
        taken = pipe.execute()[2:]
    owners = [redis.hget(f"callback:{id_}", "owner") for ((id_, *_),) in taken]
    assert owners == [GREEDY, MODEST] * 3


def test_more_owners_than_are_looked_at_once_all_have_their_turn(outbox, ended):
    songhash = ended(GREEDY)
    for n in range(250):
        ended(f"key {n}", "https://hooks.example/", songhash=songhash)
    ended(MODEST, "https://quick.example/", songhash=songhash)
    busy = [(GREEDY, "https://hooks.example")]
    found = [one.owner for _ in range(3) for one in take(outbox, in_flight=busy)]
    assert found == [MODEST]


def test_a_receiver_that_hangs_does_not_hold_up_another_callers(receiver, ended, sender, post):
    hanging = [receiver(hangs) for _ in range(6)]
    listening = receiver(answers(200))
    sender(attempt=post(attempt_seconds=60), concurrency=4, share=2)
    ended(GREEDY, *[one.url for one in hanging])
    ended(MODEST, listening.url)
    (request,) = listening.wait_for(1, seconds=30)
    assert json.loads(request.body)["state"] == "done"
    assert sum(one.accepted for one in hanging) <= 2


# --- how much is kept


def test_callbacks_that_are_not_delivered_have_a_limit_for_each_caller(outbox, ended, redis):
    songhash = ended(GREEDY, "https://a.example/")
    redis.hset("callbacks:bytes", GREEDY, MAX_OPEN_BYTES - 100)
    with pytest.raises(QuotaExceeded) as refused:
        ended(GREEDY, "https://b.example/", songhash=songhash)
    assert refused.value.code == "too_many_callbacks"
    assert len(outbox.of(songhash)) == 1
    ended(MODEST, "https://b.example/", songhash=songhash)
    for one in take(outbox):
        outbox.settle(one, Verdict("delivered"), "")
    assert redis.hgetall("callbacks:bytes") == {}  # with none open, nothing is held against anybody
    ended(GREEDY, "https://b.example/", songhash=songhash)


def test_the_limit_holds_for_jobs_that_go_on_and_not_for_the_same_callback_again(queue, redis):
    songhash = str(uuid.uuid4())

    def submit(url):
        callback = CallbackRequest.new(Target.parse(url), url, None).args
        return queue.submit(songhash, {}, callback=callback, admission=Admission(account=GREEDY)).new

    assert submit("https://a.example/")
    redis.hset("callbacks:bytes", GREEDY, MAX_OPEN_BYTES)
    assert submit("https://a.example/") is False
    with pytest.raises(QuotaExceeded):
        submit("https://b.example/")


def test_a_song_posted_again_and_again_fills_no_memory(outbox, ended, redis):
    """Of what ended the latest are remembered."""
    songhash = ended(GREEDY, "https://a.example/0")
    (first,) = take(outbox)
    redis.zadd(f"callbacks:ended:{GREEDY}", {f"msg_old{n}": 10**12 * 2 + n for n in range(MAX_ENDED - 1)})
    outbox.settle(first, Verdict("delivered"), "")
    ended(GREEDY, "https://a.example/1", songhash=songhash)
    (second,) = take(outbox)
    assert outbox.get(first.id)
    outbox.settle(second, Verdict("failed"), "no")
    assert redis.zcard(f"callbacks:ended:{GREEDY}") == MAX_ENDED
    assert outbox.get(first.id) is None
    assert [one.id for one in outbox.of(songhash)] == [second.id]


def test_what_is_sent_again_counts_as_open_and_is_not_forgotten(outbox, ended, redis):
    ended(GREEDY, "https://a.example/")
    (one,) = take(outbox)
    outbox.settle(one, Verdict("failed"), "no")
    assert redis.exists("callbacks:bytes", f"callbacks:open:{GREEDY}") == 0
    assert outbox.replay(one.id) == "failed"
    assert redis.zcard(f"callbacks:ended:{GREEDY}") == 0
    assert int(redis.hget("callbacks:bytes", GREEDY)) > 2000
    (again,) = take(outbox)
    assert again.id == one.id


# --- the index


def test_what_an_older_version_left_in_the_outbox_is_adopted_and_sent(outbox, ended, redis):
    ended(GREEDY, "https://a.example/")
    redis.delete("callbacks:owners", f"callbacks:due:{GREEDY}")
    assert take(outbox) == []
    assert outbox.adopt() == 1
    assert outbox.adopt() == 0
    assert len(take(outbox)) == 1


def test_a_sender_adopts_by_itself(receiver, ended, sender, redis):
    listening = receiver(answers(200))
    ended(GREEDY, listening.url)
    redis.delete("callbacks:owners", f"callbacks:due:{GREEDY}")
    sender()
    assert listening.wait_for(1, seconds=30)
