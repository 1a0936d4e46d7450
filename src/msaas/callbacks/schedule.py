"""Decides when a callback is retried and when it fails. Pure: time and randomness are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HOUR = 3600.0
# Waits before each attempt; the tenth is about three days after the first. Suggested by Standard Webhooks.
DELAYS_SECONDS = (0.0, 5.0, 300.0, 1800.0, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
JITTER = 0.2  # up to a fifth later, never sooner: spreads receivers that failed together
MAX_WAIT_SECONDS = 24 * HOUR  # upper limit of a Retry-After
GONE = 410


@dataclass(frozen=True)
class AttemptOutcome:
    """The result of one attempt. `status` is None without an answer; `refused`: not sent, the address is not
    allowed."""

    status: int | None = None
    error: str = ""
    refused: bool = False
    retry_after: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Verdict:
    """`state` for the callback's record; `pending` has the wait before the next attempt."""

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
    """Decides what follows attempt number `attempt` (1 is the first)."""
    if outcome.delivered:
        return Verdict("delivered")
    if outcome.refused:  # an address stays refused over time; `msaas callbacks replay` checks again
        return Verdict("refused")
    if outcome.status == GONE or attempt >= len(delays):
        return Verdict("failed")
    wait = delays[attempt] * (1 + JITTER * random())
    return Verdict("pending", max(wait, _retry_after_seconds(outcome.retry_after, now)))


def _retry_after_seconds(retry_after: str | None, now: datetime) -> float:
    """The seconds of a Retry-After, given as number or date; 0 if invalid."""
    seconds = _seconds(retry_after.strip(), now) if retry_after else 0.0
    return min(max(seconds, 0.0), MAX_WAIT_SECONDS)


def _seconds(text: str, now: datetime) -> float:
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        when = parsedate_to_datetime(text)
        return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
