"""Places are shared between callers: who asks for much gets what nobody else asks for, and no more."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from msaas.errors import Busy
from msaas.web.http.concurrency import ConcurrencyLimit, StreamLimit

WAIT_LIMIT_SECONDS = 30


def shared(**changed):
    plain = {"places": 4, "share": 2, "waiting": 100, "wait_seconds": WAIT_LIMIT_SECONDS, "what": "songs"}
    return ConcurrencyLimit(**plain | changed)


class Crowd:
    """Requests in threads of their own, each in its place until it is let go."""

    def __init__(self, gate: ConcurrencyLimit) -> None:
        self.gate, self.pool = gate, ThreadPoolExecutor(50)
        self.entered: list[str] = []
        self.inside: list[threading.Event] = []  # what ends each, in the order of entering
        self.changed = threading.Condition()

    def send(self, caller: str) -> tuple[Future[None], threading.Event]:
        over = threading.Event()
        return self.pool.submit(self._hold, caller, over), over

    def _hold(self, caller: str, over: threading.Event) -> None:
        with self.gate.place(caller):
            with self.changed:
                self.entered.append(caller)
                self.inside.append(over)
                self.changed.notify_all()
            assert over.wait(WAIT_LIMIT_SECONDS)

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_LIMIT_SECONDS), self.entered


def waiting(gate, caller):
    """Waits until so many of them stand in line, which no condition of ours tells."""
    return sum(one.caller == caller for one in list(gate._queue))


def stand_in_line(gate, caller, count):
    pause = threading.Event()
    while waiting(gate, caller) < count:
        pause.wait(0.01)


@pytest.fixture
def crowd():
    made = []

    def make(gate):
        made.append(Crowd(gate))
        return made[-1]

    yield make
    for one in made:
        one.pool.shutdown()


def test_one_caller_gets_its_share_and_others_the_rest_at_once(crowd):
    many = crowd(shared())
    greedy = [many.send("greedy") for _ in range(10)]
    stand_in_line(many.gate, "greedy", 8)
    assert many.entered == ["greedy", "greedy"]
    modest = many.send("modest")
    many.wait(lambda: "modest" in many.entered)
    for _, over in [*greedy, modest]:
        over.set()
    for future, _ in [*greedy, modest]:
        future.result(WAIT_LIMIT_SECONDS)
    assert many.entered.count("greedy") == 10


def test_of_those_that_wait_the_caller_that_holds_the_fewest_goes_first(crowd):
    many = crowd(shared(places=2, share=2))
    greedy = [many.send("greedy") for _ in range(5)]
    stand_in_line(many.gate, "greedy", 3)
    modest = many.send("modest")
    stand_in_line(many.gate, "modest", 1)
    many.wait(lambda: len(many.entered) == 2)
    many.inside[0].set()
    many.wait(lambda: len(many.entered) == 3)
    assert many.entered[2] == "modest"
    for _, over in [*greedy, modest]:
        over.set()


def test_more_than_may_wait_of_one_caller_are_refused_at_once_and_another_is_not(crowd):
    many = crowd(shared(places=1, share=1, waiting=2))
    sent = [many.send("greedy") for _ in range(3)]
    stand_in_line(many.gate, "greedy", 2)
    with pytest.raises(Busy, match="2 of your requests are already waiting"), many.gate.place("greedy"):
        pass
    sent.append(many.send("modest"))
    stand_in_line(many.gate, "modest", 1)
    for _, over in sent:
        over.set()
    for future, _ in sent:
        future.result(WAIT_LIMIT_SECONDS)


def test_who_waits_too_long_is_refused_and_leaves_no_trace():
    gate = shared(places=1, share=1, wait_seconds=0.05)
    with gate.place("a"), pytest.raises(Busy, match="1 concurrent songs"), gate.place("b"):
        pass
    with gate.place("b"):
        assert gate._held == {"b": 1}
    assert not gate._held
    assert not gate._queue


# --- streams


def test_one_caller_alone_may_hold_every_place():
    gate = StreamLimit(4, what="streams")
    places = [gate.enter("greedy") for _ in range(4)]
    assert not any(one.revoked.is_set() for one in places)
    with pytest.raises(Busy, match="4 concurrent streams"):
        gate.enter("greedy")


def test_others_get_their_share_from_the_one_that_holds_the_most_the_oldest_first():
    gate = StreamLimit(4, what="streams")
    greedy = [gate.enter("greedy") for _ in range(4)]
    modest = [gate.enter("modest"), gate.enter("modest")]
    assert [one.revoked.is_set() for one in greedy] == [True, True, False, False]
    with pytest.raises(Busy):  # two each: nobody holds more than its share
        gate.enter("modest")
    third = gate.enter("third")
    assert sum(one.revoked.is_set() for one in (*greedy, *modest)) == 3
    for one in (*greedy, *modest, third):
        gate.leave(one)
    with ExitStack() as held:
        for _ in range(4):
            held.callback(gate.leave, gate.enter("greedy"))


def test_a_place_that_was_revoked_is_given_back_once():
    gate = StreamLimit(2, what="streams")
    first, _second = gate.enter("greedy"), gate.enter("greedy")
    gate.enter("modest")
    gate.leave(first)
    with pytest.raises(Busy):
        gate.enter("modest")
