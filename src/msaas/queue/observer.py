"""Hooks for metrics. The queue calls them after Redis has accepted a move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msaas.queue.records import Claim


class QueueObserver:
    """Ignores everything; subclasses override the hooks they need.

    Each move is reported in the one process whose move was accepted, so the sum over all processes counts it once. An
    exception in a hook is logged; the move stays.
    """

    def submitted(self, fields: Mapping[str, str]) -> None:
        """A new song waits. `fields`: its record."""

    def cancelled(self) -> None:
        """A waiting or running job was cancelled."""

    def claimed(self, claim: Claim) -> None:
        """A worker claimed a job."""

    def finished(self, result: Mapping[str, Any], audio_seconds: float) -> None:
        """A job is done. `result`: as in its record."""

    def failed(self, *, final: bool) -> None:
        """A run failed; `final`: the job failed with it."""

    def released(self) -> None:
        """A worker gave a job back."""

    def reaped(self, outcomes: Mapping[str, str]) -> None:
        """Leases expired: songhash ▸ `queued`, `failed`, or another state if only a list was cleaned up."""

    def fetched(self) -> None:
        """A fetch ended: its provisional job leads to the song's job."""

    def retired(self) -> None:
        """An expired job's record was deleted."""
