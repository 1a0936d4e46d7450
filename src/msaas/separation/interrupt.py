"""Ends a forward in its midst: networks ask between their layers whether to go on.

A batch of segments takes a second and more on a busy CPU, and a separation process that does not stop within a
second is killed, its model with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msaas.errors import Cancelled

_stop: ContextVar[Callable[[], bool]] = ContextVar("stop", default=lambda: False)


@contextmanager
def interruptible(stop: Callable[[], bool]) -> Iterator[None]:
    """What runs inside, in this context or a copy of it, ends in Cancelled soon after stop() is true."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def check(*_: object) -> None:
    """Raises Cancelled where the forward that calls this is to end. Takes what a module's hook is given."""
    if _stop.get()():
        raise Cancelled("stopped on request")
