"""How many requests each caller has under way, and which one goes where there are too many. Starts none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msaas.web.front.pace import Pace

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

    def enter(self, caller: str, transfer: Transfer, now: float) -> bool:
        mine = self._transfers.setdefault(caller, {})
        if len(mine) >= self.most and not self._drop_slowest(mine, now):
            return False
        mine[transfer] = None
        return True

    def leave(self, caller: str, transfer: Transfer) -> None:
        """Harmless where it has left already."""
        mine = self._transfers.get(caller, {})
        mine.pop(transfer, None)
        if not mine:
            self._transfers.pop(caller, None)

    def _drop_slowest(self, mine: dict[Transfer, None], now: float) -> bool:
        slowest = min(mine, key=lambda one: one.pace.share_left(now))
        if slowest.pace.share_left(now) > KEEPS_UP:
            return False
        del mine[slowest]
        slowest.drop()
        return True
