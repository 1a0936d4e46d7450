"""Keeps a song from expiring while it is posted or its stems are downloaded (msaas.maintenance.sweep)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from msaas.errors import Busy, NotFound, QueueUnavailable
from msaas.web.options import ApiOptions
from msaas.web.services import Services

# Longer than storing a song takes, and than a reader may let a chunk wait (MSAAS_SLOW_CLIENT_SECONDS, 300 at most).
HOLD_SECONDS = 600.0
MIN_HOLD_SECONDS = 60.0
POLL_SECONDS = 0.05
WAIT_LIMIT_SECONDS = 5.0  # deleting a song's objects takes a fraction of this, unless the store is away


def hold_seconds(options: ApiOptions) -> float:
    """Shorter if jobs are kept for a shorter time."""
    retention_seconds = options.retention_hours * 3600 or HOLD_SECONDS
    return max(MIN_HOLD_SECONDS, min(HOLD_SECONDS, retention_seconds))


def hold_for_posting(services: Services, songhash: str) -> None:
    """Call before reading the song's record, so that it stays valid. Raises Busy while it is being deleted."""
    give_up_at = time.monotonic() + WAIT_LIMIT_SECONDS
    while not services.queue.hold(songhash, hold_seconds(services.options)):
        if time.monotonic() > give_up_at:
            raise Busy("the old job of this song is being deleted; retry in a minute")
        time.sleep(POLL_SECONDS)


def hold_for_reading(services: Services, songhash: str, seconds: float = 0) -> None:
    """Does nothing if jobs are kept for ever. Raises NotFound if the song is being deleted.

    `seconds` is for readers that do not return here, as with a link into the store.
    """
    if not services.options.retention_hours:
        return
    if not services.queue.hold(songhash, max(seconds, hold_seconds(services.options))):
        raise NotFound(
            f"job {songhash} has expired after {services.options.retention_hours:g} hours", code="job_unknown"
        )


def held(services: Services, songhash: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yields the chunks and holds the song while they are read. Call `hold_for_reading` first."""
    if not services.options.retention_hours:
        return chunks
    return _held(services, songhash, chunks)


def _held(services: Services, songhash: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    seconds = hold_seconds(services.options)
    again_at = time.monotonic() + seconds / 4
    try:
        for chunk in chunks:
            if time.monotonic() >= again_at:
                again_at = time.monotonic() + seconds / 4
                with suppress(QueueUnavailable):  # the next chunk tries again soon enough
                    services.queue.hold(songhash, seconds)
            yield chunk
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
