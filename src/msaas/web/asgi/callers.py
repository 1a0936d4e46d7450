"""Counts each caller's concurrent requests, and decides which one to drop above the limit. Starts none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msaas.web.asgi.pace import Pace

# A transfer that has used up a tenth of its window may be dropped for its caller's next one.
MIN_SHARE_LEFT = 0.9


@dataclass(eq=False)
class Transfer:
    """A request in progress. `drop` ends it at once."""

    pace: Pace
    drop: Callable[[], None]


class Callers:
    """At most `limit` transfers per caller. Above that, its slowest one is dropped if it is behind its pace; otherwise
    the new one is rejected. So stalled transfers lock out neither their caller nor others at the same address."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._transfers: dict[str, dict[Transfer, None]] = {}
        self._next_check: dict[str, float] = {}  # no transfer can be too slow before then

    def enter(self, caller: str, transfer: Transfer, now: float) -> bool:
        transfers = self._transfers.setdefault(caller, {})
        if len(transfers) >= self.limit and not self._drop_slowest(caller, transfers, now):
            return False
        transfers[transfer] = None
        return True

    def leave(self, caller: str, transfer: Transfer) -> None:
        """Idempotent."""
        transfers = self._transfers.get(caller, {})
        transfers.pop(transfer, None)
        if not transfers:
            self._transfers.pop(caller, None)
            self._next_check.pop(caller, None)

    def _drop_slowest(self, caller: str, transfers: dict[Transfer, None], now: float) -> bool:
        if now < self._next_check.get(caller, 0):
            return False
        slowest = min(transfers, key=lambda one: one.pace.share_left(now))
        spare_share = slowest.pace.share_left(now) - MIN_SHARE_LEFT
        if spare_share > 0:
            self._next_check[caller] = now + spare_share * slowest.pace.window_seconds
            return False
        del transfers[slowest]
        slowest.drop()
        return True
