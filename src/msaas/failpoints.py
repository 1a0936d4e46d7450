"""Failpoints: named points at which tests can kill, stall or cancel. Reads no settings; none is armed in production.

The queue names one before and after each script (`before-claim`, `after-finish`), storage around each transfer
(`before-put`, `after-fetch`). They can only be armed from within the process.
"""

from __future__ import annotations

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def hit(point: str) -> None:
    """Runs the action armed at this point; outside the fault suite there is none."""
    if _armed and (action := _armed.get(point)):
        action()


def arm(point: str, action: Callable[[], None]) -> None:
    _armed[point] = action


def disarm() -> None:
    _armed.clear()
