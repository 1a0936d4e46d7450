"""Answers by idempotency key, in Redis: each account's newest keys, for a day. Independent of HTTP.

A process reserves the key before it works on a request. If the process dies, the reservation ends by itself.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from math import ceil
from typing import Any

from msaas.errors import IdempotencyKeyReused, RequestInProgress
from msaas.queue import scripts
from msaas.redis_client import redis_errors

KEPT_SECONDS = 24 * 3600
# Longer than a post takes once its song has arrived. A request that takes longer can run twice, which a songhash makes
# harmless.
RESERVED_SECONDS = 30
MAX_KEYS = 1000  # of an account: some 700 bytes each
MAX_RETRY_SECONDS = 5


@dataclass(frozen=True)
class Reservation:
    """A key that belongs to one request. `answer`: that of an earlier one, None if there is none."""

    account: str
    digest: str
    token: str
    answer: str | None = None


class Answers:
    """Every method raises QueueUnavailable if Redis does not respond."""

    def __init__(
        self, redis: Any, *, kept_seconds: float = KEPT_SECONDS, reserved_seconds: float = RESERVED_SECONDS
    ) -> None:
        self._kept_ms, self._reserved_ms = int(kept_seconds * 1000), int(reserved_seconds * 1000)
        self._begin, self._settle = (scripts.load(redis, f"idempotency/{name}") for name in ("begin", "settle"))

    def begin(self, account: str, key: str, fingerprint: str) -> Reservation:
        """Raises IdempotencyKeyReused if the key belongs to a request with another fingerprint, RequestInProgress if
        the same request is not answered yet."""
        digest, token = hashlib.sha256(key.encode()).hexdigest()[:32], secrets.token_hex(8)
        limits = (self._reserved_ms, self._kept_ms, MAX_KEYS)
        with redis_errors():
            outcome, *more = self._begin(keys=[_index(account)], args=[digest, fingerprint, token, *limits])
        if outcome == "other":
            raise IdempotencyKeyReused("this Idempotency-Key was sent with another request; use a new key for each")
        if outcome == "busy":
            raise RequestInProgress(min(ceil(int(more[0]) / 1000), MAX_RETRY_SECONDS))
        return Reservation(account, digest, token, more[0] if outcome == "answered" else None)

    def keep(self, reservation: Reservation, answer: str) -> None:
        """Keeps the answer for later requests with this key."""
        self._end(reservation, answer)

    def free(self, reservation: Reservation) -> None:
        """Forgets the request: the next one with this key is worked on."""
        self._end(reservation, "")

    def _end(self, reservation: Reservation, answer: str) -> None:
        with redis_errors():
            self._settle(
                keys=[_index(reservation.account)],
                args=[reservation.digest, reservation.token, self._kept_ms, answer],
            )


def _index(account: str) -> str:
    return f"idempotency:{account}"
