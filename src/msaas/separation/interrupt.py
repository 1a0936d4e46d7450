"""Interrupts a forward: networks check for cancellation between their layers.

A batch of segments takes a second and more on a busy CPU, and a separation process that does not stop within a second
is killed together with its loaded model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msaas.errors import Cancelled

_stop: ContextVar[Callable[[], bool]] = ContextVar("stop", default=lambda: False)


@contextmanager
def interruptible(stop: Callable[[], bool]) -> Iterator[None]:
    """Code inside, in this context or a copy of it, raises Cancelled soon after stop() returns True."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def must_stop() -> Callable[[], bool]:
    """Whether the current forward must stop, as a function for another thread."""
    return _stop.get()


def check(*_: object) -> None:
    """Raises Cancelled if the current forward must stop. Accepts a module hook's arguments."""
    if _stop.get()():
        raise Cancelled("stopped on request")
