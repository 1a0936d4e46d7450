"""What one caller may take of the server: pace, threads, requests and connections. No sockets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from msaas.web.asgi.callers import Callers, Transfer
from msaas.web.asgi.connections import Connections
from msaas.web.asgi.pace import Pace
from msaas.web.asgi.pool import FairPool

WAIT_SECONDS = 30

# --- pace


def test_a_client_at_the_least_rate_never_runs_out():
    pace = Pace(120, 4000)
    for second in range(0, 10_000, 10):
        pace.wait_begins(second)
        pace.wait_ends(second + 10, 40_000)
    assert pace.left_seconds(10_000) == 120


def test_a_phone_in_tunnels_uploads_200_megabytes():
    """500 kB/s for 20 seconds, then nothing for 100, again and again."""
    pace, now, sent = Pace(120, 4000), 0.0, 0
    while sent < 200_000_000:
        for pause, data in [(1, 500_000)] * 20 + [(100, 0)]:
            pace.wait_begins(now)
            now, sent = now + pause, sent + data
            assert pace.left_seconds(now) > 0
            pace.wait_ends(now, data)


def test_a_trickle_runs_out_within_little_more_than_the_window():
    pace, now = Pace(120, 4000), 0.0
    pace.wait_begins(now)
    while pace.left_seconds(now + 8) > 0:
        now += 8
        pace.wait_ends(now, 1)
        pace.wait_begins(now)
    assert 110 < now <= 120


def test_time_that_the_server_takes_does_not_count():
    pace = Pace(120, 4000)
    pace.wait_begins(0)
    pace.wait_ends(1, 10)
    assert pace.left_seconds(10_000) == pace.left_seconds(1) > 118


# --- threads


@pytest.fixture
def pool():
    pool = FairPool(4, 3, "test")
    yield pool
    pool.stop()


def test_one_caller_leaves_a_thread_for_others(pool):
    release, started = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        started.release()
        release.wait(WAIT_SECONDS)

    mine = [pool.submit("greedy", work) for _ in range(10)]
    try:
        assert all(started.acquire(timeout=WAIT_SECONDS) for _ in range(3))
        assert pool.submit("other", lambda: "done").result(WAIT_SECONDS) == "done"
        assert not started.acquire(blocking=False)
    finally:
        release.set()
    assert [one.result(WAIT_SECONDS) for one in mine] == [None] * 10


def test_callers_take_turns():
    pool, order, hold = FairPool(1, 1, "test"), [], threading.Event()
    first = pool.submit("first", lambda: hold.wait(WAIT_SECONDS))
    many = [pool.submit("greedy", lambda: order.append("greedy")) for _ in range(20)]
    one = pool.submit("other", lambda: order.append("other"))
    hold.set()
    first.result(WAIT_SECONDS)
    for work in (*many, one):
        work.result(WAIT_SECONDS)
    pool.stop()
    assert order.index("other") <= 1


def test_what_work_raises_comes_out_and_the_thread_goes_on(pool):
    with pytest.raises(ZeroDivisionError):
        pool.submit("a", lambda: 1 / 0).result(WAIT_SECONDS)
    assert pool.submit("a", lambda: 1).result(WAIT_SECONDS) == 1


# --- requests


def transfer(dropped: list[Transfer]) -> Transfer:
    made = Transfer(Pace(120, 4000), lambda: dropped.append(made))
    return made


def test_a_caller_at_its_limit_loses_the_transfer_that_stands_still():
    callers, dropped = Callers(3), []
    slow, fast, third = (transfer(dropped) for _ in range(3))
    for one in (slow, fast, third):
        assert callers.enter("me", one, 0)
    slow.pace.wait_begins(0)
    assert not callers.enter("me", transfer(dropped), 5), "nobody is slow yet"
    assert callers.enter("other", transfer(dropped), 5), "others have a share of their own"
    assert callers.enter("me", transfer(dropped), 13)
    assert dropped == [slow]
    callers.leave("me", slow)  # as it does once it notices
    assert not callers.enter("me", transfer(dropped), 13)


def test_a_transfer_that_has_left_makes_room():
    callers, dropped = Callers(1), []
    first = transfer(dropped)
    assert callers.enter("me", first, 0)
    callers.leave("me", first)
    assert callers.enter("me", transfer(dropped), 0)
    assert not dropped


# --- connections


@dataclass(eq=False)
class Wire:
    address: str
    busy: bool = False
    dropped: list[str] = field(default_factory=list)

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)


def test_the_address_with_the_most_connections_loses_its_oldest_idle_one():
    connections = Connections(4, lambda _: None)
    busy, idle, younger = Wire("10.0.0.1", busy=True), Wire("10.0.0.1"), Wire("10.0.0.1")
    alone, newest = Wire("10.0.0.2"), Wire("10.0.0.3")
    for wire in (busy, idle, younger, alone, newest):
        connections.add(wire)
    assert [bool(wire.dropped) for wire in (busy, idle, younger, alone, newest)] == [False, True, False, False, False]
    assert connections.count == 4


def test_where_all_are_busy_the_oldest_of_the_greediest_goes():
    connections = Connections(2, lambda _: None)
    wires = [Wire("10.0.0.1", busy=True) for _ in range(3)]
    for wire in wires:
        connections.add(wire)
    assert [bool(wire.dropped) for wire in wires] == [True, False, False]


def test_addresses_of_one_ipv6_network_are_one():
    connections = Connections(2, lambda _: None)
    alone = Wire("2001:db8:1::1")
    many = [Wire(f"2001:db8:2::{n}") for n in range(1, 4)]
    for wire in (alone, *many):
        connections.add(wire)
    assert not alone.dropped and sum(bool(wire.dropped) for wire in many) == 2


def test_a_connection_that_ended_is_not_counted():
    connections = Connections(1, lambda _: None)
    first, second = Wire("10.0.0.1"), Wire("10.0.0.1")
    connections.add(first)
    connections.remove(first)
    connections.remove(first)
    connections.add(second)
    assert not first.dropped and not second.dropped and connections.count == 1
