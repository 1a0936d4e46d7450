"""Hooks for whoever counts what the queue does. The queue calls one once Redis has accepted the move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msaas.queue.records import Claim


class QueueObserver:
    """Ignores everything; a subclass overrides the hooks that it counts by.

    Each move is reported in the one process whose move was accepted, so the sum over all processes counts it once.
    A hook that raises is logged; the move stands.
    """

    def submitted(self, fields: Mapping[str, str]) -> None:
        """A new song waits. `fields`: its record."""

    def cancelled(self) -> None:
        """A job that waited or ran was cancelled."""

    def claimed(self, claim: Claim) -> None:
        """A worker took a job."""

    def finished(self, result: Mapping[str, Any], audio_seconds: float) -> None:
        """A job is done. `result`: as its record has it."""

    def failed(self, *, final: bool) -> None:
        """A run failed; `final`: the job with it."""

    def released(self) -> None:
        """A worker gave a job back."""

    def reaped(self, outcomes: Mapping[str, str]) -> None:
        """Leases ran out: songhash ▸ `queued`, `failed`, or another word where only a list had to be tidied."""

    def retired(self) -> None:
        """A job that ended long ago was forgotten."""
