"""The minimum rate that a client must keep, measured over a window. No I/O; time is a parameter."""

from __future__ import annotations


class Pace:
    """A leaky bucket of seconds: waiting for the client drains it, bytes that the client transfers refill it.

    A client that transfers `bytes_per_second` on average never runs out, and one that has kept up may stall for a whole
    window, like a phone in a tunnel. Only time spent waiting for the client counts, not our own.
    """

    def __init__(self, window_seconds: float, bytes_per_second: float) -> None:
        self.window_seconds, self.bytes_per_second = window_seconds, bytes_per_second
        self._left_seconds = window_seconds
        self._waiting_since: float | None = None

    def left_seconds(self, now: float) -> float:
        waited = 0.0 if self._waiting_since is None else now - self._waiting_since
        return max(0.0, self._left_seconds - waited)

    def share_left(self, now: float) -> float:
        """1 for a client that keeps up, 0 for one that has run out of time."""
        return self.left_seconds(now) / self.window_seconds

    def wait_begins(self, now: float) -> None:
        self._waiting_since = now

    def wait_ends(self, now: float, moved_bytes: int) -> None:
        gained = moved_bytes / self.bytes_per_second
        self._left_seconds = min(self.window_seconds, self.left_seconds(now) + gained)
        self._waiting_since = None
