"""Songs of low priority wait behind all others, and take turns among themselves; the list is the order of claims."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msaas.queue import Queue


class Songs:
    """Names of songs by short ones: `a1` is of tenant a, `A1` the same tenant's with low priority."""

    def __init__(self, queue: Queue, **fields: str) -> None:
        self.queue, self.fields, self.names = queue, fields, dict[str, str]()

    def post(self, *shorts: str, **more: str) -> None:
        for short in shorts:
            self.names.setdefault(short.lower(), str(uuid.uuid4()))
            priority = {"priority": "low"} if short[0].isupper() else {}
            self.queue.submit(
                self.names[short.lower()], {"tenant": short[0].lower(), **priority, **self.fields, **more}
            )

    @property
    def waiting(self) -> list[str]:
        shorts = {name: short for short, name in self.names.items()}
        return [shorts[name] for name in self.queue.waiting()]

    def claim(self, **more: Any) -> str:
        claim = self.queue.claim("w", **more)
        assert claim is not None
        return next(short for short, name in self.names.items() if name == claim.songhash)


@pytest.fixture
def songs(queue: Queue) -> Songs:
    return Songs(queue)


def many(tenant: str, count: int, start: int = 1) -> list[str]:
    return [f"{tenant}{n}" for n in range(start, start + count)]


def test_a_single_song_goes_before_the_thousand_of_its_own_tenant(songs, queue):
    songs.post(*many("A", 1000))
    assert songs.claim() == "a1"
    songs.post("a2000")
    assert queue.position(songs.names["a2000"]) == 0
    assert [songs.claim() for _ in range(3)] == ["a2000", "a2", "a3"]


def test_low_songs_of_tenants_take_turns_among_themselves(songs):
    songs.post(*many("A", 4), *many("B", 2), "C1")
    assert songs.waiting == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert [songs.claim() for _ in range(2)] == ["a1", "b1"]
    songs.post("D1", "D2")
    assert songs.waiting == ["c1", "a2", "b2", "d1", "a3", "d2", "a4"]


def test_others_take_turns_as_ever(songs):
    songs.post(*many("A", 3), *many("a", 3, 10), "b1", "b2")
    assert songs.waiting == ["a10", "b1", "a11", "b2", "a12", "a1", "a2", "a3"]


def test_a_song_that_is_posted_again_without_low_priority_moves_to_the_others(songs, redis):
    songs.post(*many("A", 3))
    songs.post("a3")
    assert songs.waiting == ["a3", "a1", "a2"]
    songs.post("A3")  # once up, it stays
    assert songs.waiting == ["a3", "a1", "a2"]
    assert redis.hgetall("toWorkers:turns")["low songs a"] == "2"


def test_a_failed_run_of_low_priority_goes_behind_its_own_kind_and_a_lost_one_to_the_head(songs, queue):
    songs.post(*many("A", 3), "b1")
    songs.claim()
    claim = queue.claim("w")
    assert queue.fail(claim, {"code": "x"}, retry=True) == "queued"
    assert songs.waiting == ["a2", "a3", "a1"]
    claim = queue.claim("w")
    assert queue.release(claim)
    assert songs.waiting == ["a2", "a3", "a1"]


def test_entries_pushed_by_hand_keep_their_place(songs, queue):
    songs.post("A1", "A2")
    for short in ("x1", "x2"):
        songs.names[short] = str(uuid.uuid4())
    queue.redis.rpush("toWorkers", songs.names["x1"])
    queue.redis.lpush("toWorkers", songs.names["x2"])
    songs.post("b1")
    assert songs.waiting == ["x2", "b1", "a1", "a2", "x1"]
    assert [songs.claim() for _ in range(5)] == ["x2", "b1", "a1", "a2", "x1"]


def test_a_loaded_model_brings_no_low_song_before_others(queue):
    songs = Songs(queue)
    songs.post("a1", model="other")
    songs.post("A2", model="loaded")
    choice = {"models": ["loaded", "other"], "loaded": ["loaded"], "max_overtaking": 4}
    assert [songs.claim(**choice) for _ in range(2)] == ["a1", "a2"]


@pytest.mark.parametrize("value", ["", "LOW", "urgent", "-1", "x" * 100_000])
def test_another_word_in_the_record_is_normal(songs, value):
    songs.post("A1")
    songs.post("b1", priority=value)
    assert songs.waiting == ["b1", "a1"]


@given(st.lists(st.tuples(st.sampled_from("abABC"), st.integers(0, 3)), max_size=40))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_in_any_sequence_no_song_is_lost_and_none_waits_behind_low_ones(queue, steps):
    queue.redis.flushdb()
    songs, claimed = Songs(queue), []
    for number, (tenant, claims) in enumerate(steps):
        songs.post(f"{tenant}{number}")
        waiting = [queue.redis.hget(f"job:{name}", "priority") for name in queue.waiting()]
        assert waiting == sorted(waiting, key=lambda priority: priority == "low")
        claimed += [claim.songhash for _ in range(claims) if (claim := queue.claim("w"))]
    left = queue.waiting()
    assert Counter([*claimed, *left]) == Counter(songs.names.values())
