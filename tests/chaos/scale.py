"""How much of a row is run: `short` for every check, `full` for the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    full: bool = False

    def on_busy(self, seconds: float) -> float:
        """A promised time, which the short form must not hold a machine to that runs other tests meanwhile."""
        return seconds if self.full else seconds + 3

    def __call__(self, short: T, full: T) -> T:
        return full if self.full else short
