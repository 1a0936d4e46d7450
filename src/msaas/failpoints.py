"""Named moments at which a test may step in: kill, stall, cancel. Reads no settings; in production none is armed.

The queue names one before and after each script (`before-claim`, `after-finish`), storage around each transfer
(`before-put`, `after-fetch`). They can only be armed from within the process.
"""

from __future__ import annotations

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def hit(point: str) -> None:
    """Does what is armed at this point: nothing, outside the fault suite."""
    if _armed and (action := _armed.get(point)):
        action()


def arm(point: str, action: Callable[[], None]) -> None:
    _armed[point] = action


def disarm() -> None:
    _armed.clear()
