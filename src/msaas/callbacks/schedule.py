"""When a callback is tried again, and when it is given up. Pure: time and randomness come in as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HOUR = 3600.0
# Waits before each attempt; the tenth comes about three days after the first. Standard Webhooks suggests the curve.
DELAYS_SECONDS = (0.0, 5.0, 300.0, 1800.0, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
JITTER = 0.2  # up to a fifth later, never sooner: receivers that failed together are not called together
LONGEST_WAIT_SECONDS = 24 * HOUR  # what a Retry-After can ask for
GONE = 410


@dataclass(frozen=True)
class AttemptOutcome:
    """What one attempt came to. `status` is None where no answer came; `refused` where none was asked for."""

    status: int | None = None
    error: str = ""
    refused: bool = False
    retry_after: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Verdict:
    """`state` as the entry's record has it; `pending` comes with the wait before the next attempt."""

    state: str
    wait_seconds: float = 0.0


def judge(
    outcome: AttemptOutcome,
    attempt: int,
    *,
    random: Callable[[], float],
    now: datetime,
    delays: Sequence[float] = DELAYS_SECONDS,
) -> Verdict:
    """What follows the `attempt`-th try (1 is the first)."""
    if outcome.delivered:
        return Verdict("delivered")
    if outcome.refused:  # what an address is does not change by waiting; `msaas callbacks replay` asks again
        return Verdict("refused")
    if outcome.status == GONE or attempt >= len(delays):
        return Verdict("failed")
    wait = delays[attempt] * (1 + JITTER * random())
    return Verdict("pending", max(wait, _asked_for(outcome.retry_after, now)))


def _asked_for(retry_after: str | None, now: datetime) -> float:
    """Seconds of a Retry-After, as a number or as a date; 0 where it says neither."""
    seconds = _seconds(retry_after.strip(), now) if retry_after else 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _seconds(text: str, now: datetime) -> float:
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        when = parsedate_to_datetime(text)
        return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
