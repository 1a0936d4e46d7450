"""A worker takes songs of a loaded model first: bounded, and without touching the tenants' turns."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msaas.queue import WAITING

ORDER = "toWorkers:order"
MODELS = ("big", "small", "third")


@pytest.fixture
def post(queue):
    def post(model, count=1, tenant=""):
        names = [str(uuid.uuid4()) for _ in range(count)]
        for name in names:
            queue.submit(name, {"model": model, "tenant": tenant})
        return names

    return post


@pytest.fixture
def claim(queue):
    def claim(*loaded, limit=2, models=MODELS):
        found = queue.claim("w", models, loaded=loaded, max_overtaking=limit)
        return found and found.songhash

    return claim


def test_a_song_of_the_loaded_model_overtakes_until_the_first_song_was_overtaken_often_enough(post, claim):
    (big,), small = post("big"), post("small", 4)
    assert [claim("small") for _ in range(5)] == [small[0], small[1], big, small[2], small[3]]


def test_without_the_setting_or_a_loaded_model_the_order_is_the_queues(post, claim):
    names = post("big") + post("small") + post("big") + post("small")
    assert [claim("small", limit=0), claim(limit=5), claim("third"), claim("big")] == names


def test_the_first_song_of_the_loaded_model_is_taken_before_the_second(post, claim):
    small = post("small", 3)
    post("big")
    assert [claim("small") for _ in range(3)] == small


def test_each_song_counts_for_itself_how_often_it_was_overtaken(post, claim):
    first, small = post("big", 2), post("small", 3)
    assert claim("small") == small[0]
    late = post("third") + post("small")
    assert [claim("small"), claim("small")] == [small[1], first[0]]
    # the second song of the big model was overtaken twice as well: nothing passes it, not even what came late
    assert [claim("small"), claim("small")] == [first[1], small[2]]
    assert [claim("small"), claim("small")] == [late[1], late[0]]


def test_several_workers_overtake_a_song_no_more_often_together(post, claim):
    (big,) = post("big")
    post("small", 3)
    post("third", 3)
    taken = [claim(model, limit=3) for model in ("small", "third", "small", "third")]
    assert taken[3] == big


def test_a_song_does_not_overtake_another_tenants_earlier_turn(post, claim):
    a = post("small", 3, tenant="a")
    b = post("big", 2, tenant="b")  # a1 b1 a2 b2 a3
    assert [claim("small") for _ in range(5)] == [a[0], b[0], a[1], b[1], a[2]]


def test_within_a_turn_and_within_a_tenant_it_does(post, claim):
    a = post("big", 2, tenant="a")
    b = post("small", 1, tenant="b")  # a1 b1 a2
    assert [claim("small"), claim("big"), claim("small")] == [b[0], a[0], a[1]]
    mine = [post(model, tenant="a")[0] for model in ("big", "small", "small")]
    assert [claim("small") for _ in range(3)] == [mine[1], mine[2], mine[0]]


def test_a_tenant_that_comes_later_does_not_wait_longer_since_songs_were_overtaken(post, claim, queue):
    a = [post(model, tenant="a")[0] for model in ("big", "big", "big", "small")]
    assert claim("small") == a[3]
    (b,) = post("big", tenant="b")
    assert queue.waiting() == [a[0], b, a[1], a[2]]


def test_what_was_pushed_by_hand_is_not_overtaken(post, claim, redis):
    name = str(uuid.uuid4())
    redis.rpush(WAITING, name)
    small = post("small", 1)
    (big,) = post("big")
    redis.lpush(WAITING, big)
    redis.lrem(WAITING, -1, big)  # big, by hand, small
    assert [claim("small") for _ in range(3)] == [big, name, small[0]]


def test_songs_of_models_that_this_worker_does_not_run_are_passed_by_as_ever(post, claim, queue):
    third, (big,), (small,) = post("third", 2), post("big"), post("small")
    assert claim("small", models=("big", "small")) == small
    assert claim("small", models=("big", "small")) == big
    assert queue.waiting() == third
    assert "overtaken" not in queue.redis.hgetall(f"job:{third[0]}")


def test_nothing_unusable_is_started_before_its_time(post, claim, queue, redis):
    (big,) = post("big")
    (running,) = post("small")
    assert claim("small") == running
    redis.rpush(WAITING, running, "no songhash")
    redis.set(f"job:{(broken := str(uuid.uuid4()))}", "text")
    redis.rpush(WAITING, broken)
    (small,) = post("small")
    redis.hset(f"job:{big}", "overtaken", "a few")
    assert [claim("small"), claim("small"), claim("small")] == [small, big, None]
    assert set(queue.dead()) == {"no songhash", broken}


def test_a_song_that_runs_again_starts_counting_anew(post, claim, queue):
    (big,) = post("big")
    post("small", 2)
    for _ in range(2):
        claim("small")
    found = queue.claim("w", MODELS)
    assert found.songhash == big
    assert queue.redis.hget(f"job:{big}", "overtaken") is None


@pytest.mark.parametrize("kind", ["string", "list"])
def test_a_damaged_order_costs_no_song(post, claim, redis, kind):
    names = post("big", 2, tenant="a") + post("small", 2, tenant="b")
    redis.delete(ORDER)
    redis.set(ORDER, "x") if kind == "string" else redis.rpush(ORDER, "x")
    assert {claim("small") for _ in range(4)} == set(names)


ARRIVALS = st.lists(
    st.tuples(st.sampled_from("pppcc"), st.sampled_from(MODELS), st.sampled_from("ab-"), st.integers(0, 2)), max_size=60
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=ARRIVALS, limit=st.integers(0, 4))
def test_no_song_is_overtaken_by_more_than_the_setting_says_nor_another_tenants_turn_at_all(queue, redis, moves, limit):
    redis.flushall()
    overtaken, claimed, posted = Counter(), Counter(), {}
    loaded = ["big", "small", "third"]  # of three workers; each runs all models, and has loaded the last it used

    def take(worker):
        waiting = queue.waiting()
        turns = {name: int(redis.zscore(ORDER, name)) for name in waiting}
        found = queue.claim(f"w{worker}", MODELS, loaded=(loaded[worker],), max_overtaking=limit)
        if found is None:
            return False
        model, tenant = posted[found.songhash]
        for other in waiting[: waiting.index(found.songhash)]:
            overtaken[other] += 1
            assert model == loaded[worker]
            assert tenant == posted[other][1] or turns[other] == turns[found.songhash]
        loaded[worker] = model
        claimed[found.songhash] += 1
        return True

    for move, model, tenant, worker in moves:
        if move == "p":
            name = str(uuid.uuid4())
            posted[name] = (model, tenant)
            queue.submit(name, {"model": model, "tenant": tenant if tenant != "-" else ""})
        else:
            take(worker)
    while take(0):
        pass
    assert set(claimed) == set(posted)
    assert set(claimed.values()) <= {1}
    assert max(overtaken.values(), default=0) <= limit
