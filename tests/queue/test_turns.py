"""Tenants take turns in the list; one tenant alone, and what is pushed by hand, is served as it came."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ORDER, TURNS = "toWorkers:order", "toWorkers:turns"


class Songs:
    """Names of songs by short ones: `a1` is the first of tenant a."""

    def __init__(self, queue):
        self.queue, self.names = queue, {}

    def post(self, *shorts):
        for short in shorts:
            self.names[short] = str(uuid.uuid4())
            self.queue.submit(self.names[short], {"tenant": short[0] if short[0] != "-" else ""})

    def push(self, short):
        self.names[short] = str(uuid.uuid4())
        self.queue.redis.rpush("toWorkers", self.names[short])

    @property
    def waiting(self):
        shorts = {name: short for short, name in self.names.items()}
        return [shorts[name] for name in self.queue.waiting()]

    def claim(self):
        claim = self.queue.claim("w")
        return claim and next(short for short, name in self.names.items() if name == claim.songhash)

    def cancel(self, short):
        self.queue.cancel(self.names[short])


@pytest.fixture
def songs(queue):
    return Songs(queue)


def many(tenant, count):
    return [f"{tenant}{n}" for n in range(1, count + 1)]


@pytest.mark.parametrize("tenant", ["a", "-"])
def test_one_tenant_and_callers_without_keys_are_served_as_they_came(songs, tenant):
    songs.post(*many(tenant, 20))
    assert songs.waiting == many(tenant, 20)
    assert [songs.claim() for _ in range(5)] == many(tenant, 5)
    songs.post(f"{tenant}21")
    assert songs.waiting == many(tenant, 21)[5:]


def test_a_tenant_with_few_songs_goes_past_the_many_of_another(songs):
    songs.post(*many("a", 6))
    songs.post("b1", "b2", "c1")
    assert songs.waiting == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "a5", "a6"]


def test_many_tenants_are_served_round_by_round(songs):
    tenants = "abcdefghij"
    for tenant in tenants:
        songs.post(*many(tenant, 4))
    rounds = [songs.waiting[at : at + 10] for at in range(0, 40, 10)]
    assert rounds == [[f"{tenant}{n}" for tenant in tenants] for n in range(1, 5)]


def test_who_comes_late_begins_where_the_list_has_come_to(songs):
    songs.post(*many("a", 6))
    assert [songs.claim() for _ in range(3)] == ["a1", "a2", "a3"]
    songs.post("b1", "b2")
    assert songs.waiting == ["a4", "b1", "a5", "b2", "a6"]


def test_waiting_without_songs_saves_up_no_turns(songs):
    songs.post("b1")
    songs.post(*many("a", 4))
    assert [songs.claim() for _ in range(3)] == ["b1", "a1", "a2"]
    songs.post("b2", "b3", "b4")
    assert songs.waiting == ["a3", "b2", "a4", "b3", "b4"]


def test_what_was_cancelled_costs_no_turn(songs):
    songs.post(*many("a", 3))
    songs.post(*many("b", 3))
    for short in many("b", 3):
        songs.cancel(short)
    songs.post("b4")
    assert songs.waiting == ["a1", "b4", "a2", "a3"]


def test_what_is_pushed_by_hand_keeps_its_place(songs):
    songs.push("h1")
    songs.post(*many("a", 3))
    songs.push("h2")
    songs.post("b1", "a4")
    assert songs.waiting == ["h1", "a1", "b1", "a2", "a3", "h2", "a4"]
    assert [songs.claim() for _ in range(7)] == ["h1", "a1", "b1", "a2", "a3", "h2", "a4"]


def test_a_run_that_failed_goes_behind_its_own_tenants_songs_not_behind_everybodys(songs, queue):
    songs.post(*many("a", 5))
    songs.post("b1", "b2")
    songs.claim()
    claim = queue.claim("w")
    assert claim.songhash == songs.names["b1"]
    assert queue.fail(claim, {"code": "x"}, retry=True) == "queued"
    assert songs.waiting == ["a2", "b2", "a3", "b1", "a4", "a5"]


def test_a_lost_or_released_song_goes_to_the_head_as_ever(songs, queue):
    songs.post(*many("a", 3))
    songs.post("b1")
    claim = queue.claim("w")
    assert queue.release(claim)
    assert songs.waiting == ["a1", "b1", "a2", "a3"]


@pytest.mark.parametrize("damage", ["list deleted", "entry removed", "order deleted", "turns deleted", "other types"])
def test_whatever_is_done_by_hand_no_song_is_lost(songs, queue, redis, damage):
    songs.post(*many("a", 5))
    gone = set()
    if damage == "list deleted":
        redis.delete("toWorkers")
        gone = set(many("a", 5))
    elif damage == "entry removed":
        redis.lrem("toWorkers", 0, songs.names["a2"])
        gone = {"a2"}
    elif damage == "other types":
        redis.delete(ORDER, TURNS)
        redis.set(ORDER, "x")
        redis.rpush(TURNS, "x")
    else:
        redis.delete(ORDER if damage.startswith("order") else TURNS)
    songs.post("b1", "b2", "a6")
    assert set(songs.waiting) == {*many("a", 6), "b1", "b2"} - gone
    assert len(songs.waiting) == len(set(songs.waiting))


def test_nothing_is_left_of_turns_once_nobody_waits(songs, queue, redis):
    songs.post("a1", "b1", "a2")
    while songs.claim():
        pass
    assert redis.zcard(ORDER) == 0
    assert set(redis.hgetall(TURNS)) == {"reached"}
    songs.post("a3")
    assert redis.hget(TURNS, "last a") == "1"


MOVES = st.lists(st.tuples(st.sampled_from("pppccxf"), st.sampled_from("ab-"), st.integers(0, 30)), max_size=60)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=MOVES)
def test_whatever_is_posted_claimed_cancelled_and_failed_each_song_is_claimed_once(queue, redis, moves):
    redis.flushall()
    songs, claimed, cancelled = Songs(queue), Counter(), set()
    for number, (move, tenant, which) in enumerate(moves):
        waiting = songs.waiting
        if move == "p":
            songs.post(f"{tenant}{number}")
        elif move == "x" and waiting:
            short = waiting[which % len(waiting)]
            songs.cancel(short)
            cancelled.add(short)
        elif claim := queue.claim("w"):
            short = next(one for one, name in songs.names.items() if name == claim.songhash)
            if move == "f" and claim.job.attempts < 3:
                assert queue.fail(claim, {"code": "x"}, retry=True) == "queued"
            else:
                claimed[short] += 1
                queue.finish(claim, {"stems": {}}, 1)
        assert len(songs.waiting) == len(set(songs.waiting))
    while short := songs.claim():
        claimed[short] += 1
    assert set(claimed) == set(songs.names) - cancelled
    assert set(claimed.values()) <= {1}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=st.lists(st.sampled_from("aaaabbcdf!!"), max_size=60))
def test_the_first_song_of_a_tenant_waits_for_two_of_each_other_at_most(queue, redis, moves):
    """One of the turn that the list has reached, one of the next. `!` claims a song."""
    redis.flushall()
    songs = Songs(queue)
    for number, move in enumerate(moves):
        if move == "!":
            songs.claim()
            continue
        first = not any(short.startswith(move) for short in songs.waiting)
        songs.post(f"{move}{number}")
        if first:
            ahead = Counter(short[0] for short in songs.waiting[: songs.waiting.index(f"{move}{number}")])
            assert max(ahead.values(), default=0) <= 2
