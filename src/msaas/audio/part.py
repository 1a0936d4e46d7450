"""A part of a song, by seconds, in samples of the song. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass(frozen=True)
class Part:
    """From `start_seconds` up to `end_seconds`; None: the song's end. Both count to the microsecond."""

    start_seconds: float = 0.0
    end_seconds: float | None = None

    def within(self, before: Fraction, sample_rate: int, samples: int) -> slice:
        """The samples of a block that belong to the part, if `before` seconds precede the block."""
        first = _sample(self.start_seconds, before, sample_rate)
        last = samples if self.end_seconds is None else _sample(self.end_seconds, before, sample_rate)
        return slice(min(max(first, 0), samples), min(max(last, 0), samples))

    def is_over(self, before: Fraction) -> bool:
        return self.end_seconds is not None and before >= _exact(self.end_seconds)


def _exact(seconds: float) -> Fraction:
    return Fraction(round(seconds * 1_000_000), 1_000_000)


def _sample(seconds: float, before: Fraction, sample_rate: int) -> int:
    """The nearest sample, counted from the block's first one; halves go up, wherever the block starts."""
    return floor((_exact(seconds) - before) * sample_rate + Fraction(1, 2))
