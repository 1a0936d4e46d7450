"""Songs that share a device take turns, the one that began first before the others."""

import threading
from contextvars import copy_context

import pytest

from msaas.errors import Cancelled
from msaas.local.processes.child import wait_until
from msaas.separation.engines import turns as module
from msaas.separation.engines.turns import DeviceTurns, song_in_turn
from msaas.separation.interrupt import interruptible

SECONDS = 60


class Song:
    """Takes a turn in a thread of its own, and keeps it until `end`."""

    def __init__(self, turns, order, name, waits=lambda: None, stop=lambda: False):
        self.turns, self.order, self.name, self.stop = turns, order, name, stop
        self.has_turn, self.finish = threading.Event(), threading.Event()
        self.error = None
        with song_in_turn(waits):
            context = copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)

    def _run(self):
        try:
            with interruptible(self.stop), self.turns.turn():
                self.order.append(self.name)
                self.has_turn.set()
                self.finish.wait(SECONDS)
        except Cancelled as error:
            self.error = error

    def ask(self):
        self.thread.start()
        assert self.has_turn.wait(SECONDS)

    def end(self):
        self.finish.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


def waiting(turns, count):
    assert wait_until(lambda: len(turns._waiting) == count, SECONDS, pause_seconds=0.005)


def test_one_has_the_device_and_the_song_that_began_first_is_next():
    turns, order = DeviceTurns(), []
    first, second, third = (Song(turns, order, name) for name in ("first", "second", "third"))
    third.ask()
    second.thread.start()
    waiting(turns, 1)
    first.thread.start()
    waiting(turns, 2)
    assert order == ["third"]
    third.end()
    assert first.has_turn.wait(SECONDS) and not second.has_turn.is_set()
    first.end()
    second.end()
    assert order == ["third", "first", "second"]


def test_a_song_that_waits_can_be_stopped_and_others_go_on():
    turns, order, stopped = DeviceTurns(), [], threading.Event()
    holder = Song(turns, order, "holder")
    waiter, last = Song(turns, order, "waiter", stop=stopped.is_set), Song(turns, order, "last")
    holder.ask()
    waiter.thread.start()
    waiting(turns, 1)
    last.thread.start()
    waiting(turns, 2)
    stopped.set()
    waiter.thread.join(SECONDS)
    assert isinstance(waiter.error, Cancelled) and order == ["holder"]
    holder.end()
    last.end()
    assert order == ["holder", "last"]


def test_a_song_that_waits_says_so_again_and_again(monkeypatch):
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.0)
    turns, said = DeviceTurns(), threading.Semaphore(0)
    holder, waiter = Song(turns, [], "holder"), Song(turns, [], "waiter", waits=said.release)
    holder.ask()
    waiter.thread.start()
    assert all(said.acquire(timeout=SECONDS) for _ in range(3))
    holder.end()
    waiter.end()


def test_a_forward_that_fails_passes_the_turn_on():
    turns = DeviceTurns()
    with pytest.raises(RuntimeError), turns.turn():
        raise RuntimeError("out of memory")
    with turns.turn():
        pass
