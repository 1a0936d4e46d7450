"""Who may use the separation process: several songs at a time, or one alone."""

import threading

import pytest

from msaas.errors import Cancelled
from msaas.local.processes.child import wait_until
from msaas.worker.concurrency.gate import Gate

SECONDS = 60


def nothing():
    pass


class Song:
    """Enters in a thread of its own and stays until it is let go."""

    def __init__(self, enter):
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.stay = None
        self.thread = threading.Thread(target=self._run, args=(enter,), daemon=True)
        self.thread.start()

    def _run(self, enter):
        with enter(nothing) as self.stay:
            self.entered.set()
            self.let_go.wait(SECONDS)

    def is_inside(self):
        return self.entered.wait(SECONDS)

    def leave(self):
        self.let_go.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


def test_songs_enter_side_by_side_and_are_crowded_then():
    gate = Gate()
    first = Song(gate.shared)
    assert first.is_inside() and not first.stay.crowded and gate.open
    second = Song(gate.shared)
    assert second.is_inside() and first.stay.crowded and second.stay.crowded
    first.leave()
    second.leave()
    third = Song(gate.shared)
    assert third.is_inside() and not third.stay.crowded
    third.leave()


def test_a_song_alone_waits_for_the_others_and_keeps_new_ones_out():
    gate = Gate()
    first = Song(gate.shared)
    assert first.is_inside()
    alone, other = Song(gate.alone), Song(gate.alone)
    assert wait_until(lambda: not gate.open, SECONDS, pause_seconds=0.005)
    late = Song(gate.shared)
    assert not alone.entered.is_set() and not other.entered.is_set()
    first.leave()
    assert wait_until(lambda: alone.entered.is_set() or other.entered.is_set(), SECONDS, pause_seconds=0.005)
    assert not (alone.entered.is_set() and other.entered.is_set()) and not late.entered.is_set()
    one, two = (alone, other) if alone.entered.is_set() else (other, alone)
    one.leave()
    assert two.is_inside() and not late.entered.is_set() and not two.stay.crowded
    two.leave()
    assert late.is_inside() and gate.open
    late.leave()


def test_a_narrow_gate_takes_one_song_at_a_time_for_a_while():
    now = [0.0]
    gate = Gate(clock=lambda: now[0])
    gate.narrow(10)
    first = Song(gate.shared)
    assert first.is_inside() and not gate.open
    second = Song(gate.shared)
    assert not second.entered.wait(0.2)
    now[0] = 10.0
    assert second.is_inside() and gate.open
    first.leave()
    second.leave()


@pytest.mark.parametrize("kind", ["shared", "alone"])
def test_a_wait_ends_when_the_run_must_stop_and_leaves_the_gate_open(kind):
    gate = Gate()
    inside = Song(gate.alone)
    assert inside.is_inside()

    def stop():
        raise Cancelled("stopped")

    with pytest.raises(Cancelled), getattr(gate, kind)(stop):
        raise AssertionError("it entered")
    inside.leave()
    assert gate.open
