"""How many requests each caller has under way, and which one goes where there are too many. Starts none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msaas.web.asgi.pace import Pace

# A transfer that has used up a tenth of its window makes room for its caller's next one.
KEEPS_UP = 0.9


@dataclass(eq=False)
class Transfer:
    """A request under way. `drop` ends it at once."""

    pace: Pace
    drop: Callable[[], None]


class Callers:
    """At most `most` transfers a caller. Beyond, its slowest one makes room where it does not keep up; else the new one
    is refused. So nobody locks themselves out, nor others behind their address, with transfers that stand still."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._transfers: dict[str, dict[Transfer, None]] = {}
        self._none_before: dict[str, float] = {}  # nobody can have become too slow before then

    def enter(self, caller: str, transfer: Transfer, now: float) -> bool:
        mine = self._transfers.setdefault(caller, {})
        if len(mine) >= self.most and not self._drop_slowest(caller, mine, now):
            return False
        mine[transfer] = None
        return True

    def leave(self, caller: str, transfer: Transfer) -> None:
        """Harmless where it has left already."""
        mine = self._transfers.get(caller, {})
        mine.pop(transfer, None)
        if not mine:
            self._transfers.pop(caller, None)
            self._none_before.pop(caller, None)

    def _drop_slowest(self, caller: str, mine: dict[Transfer, None], now: float) -> bool:
        if now < self._none_before.get(caller, 0):
            return False
        slowest = min(mine, key=lambda one: one.pace.share_left(now))
        spare_share = slowest.pace.share_left(now) - KEEPS_UP
        if spare_share > 0:
            self._none_before[caller] = now + spare_share * slowest.pace.window_seconds
            return False
        del mine[slowest]
        slowest.drop()
        return True
