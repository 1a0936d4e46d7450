"""Keeps a song from expiring while somebody posts it or downloads its stems (msaas.maintenance.sweep)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from msaas.errors import Busy, NotFound, QueueUnavailable
from msaas.web.options import ApiOptions
from msaas.web.services import Services

# Longer than storing a song takes, and than a reader may let a chunk wait (MSAAS_SLOW_CLIENT_SECONDS, 300 at most).
HOLD_SECONDS = 600.0
SHORTEST_HOLD_SECONDS = 60.0
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 5.0  # what is stored of a song is gone in a fraction of this, unless the store is away


def hold_seconds(options: ApiOptions) -> float:
    """Less where jobs are kept for less."""
    retention_seconds = options.retention_hours * 3600 or HOLD_SECONDS
    return max(SHORTEST_HOLD_SECONDS, min(HOLD_SECONDS, retention_seconds))


def hold_for_posting(parts: Services, songhash: str) -> None:
    """Before the song is looked up: what is found from here on stays. Raises Busy where it is being deleted still."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not parts.queue.hold(songhash, hold_seconds(parts.options)):
        if time.monotonic() > give_up_at:
            raise Busy("the old job of this song is being deleted; retry in a minute")
        time.sleep(POLL_SECONDS)


def hold_for_reading(parts: Services, songhash: str, seconds: float = 0) -> None:
    """Costs nothing where jobs are kept for ever. Raises NotFound where the song is being deleted.

    `seconds` is for readers that do not come back here, as with a link into the store.
    """
    if not parts.options.retention_hours:
        return
    if not parts.queue.hold(songhash, max(seconds, hold_seconds(parts.options))):
        raise NotFound(f"job {songhash} has expired after {parts.options.retention_hours:g} hours", code="job_unknown")


def held(parts: Services, songhash: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, the song held for as long as they are read. `hold_for_reading` comes first."""
    if not parts.options.retention_hours:
        return chunks
    return _held(parts, songhash, chunks)


def _held(parts: Services, songhash: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    seconds = hold_seconds(parts.options)
    again_at = time.monotonic() + seconds / 4
    try:
        for chunk in chunks:
            if time.monotonic() >= again_at:
                again_at = time.monotonic() + seconds / 4
                with suppress(QueueUnavailable):  # the next chunk tries again soon enough
                    parts.queue.hold(songhash, seconds)
            yield chunk
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
