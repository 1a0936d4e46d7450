"""Callbacks for people: list them, send one again. Prints nothing; `msaas callbacks` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from msaas.callbacks.outbox import Callback, Outbox
from msaas.errors import Conflict, NotFound
from msaas.jobs import iso


def view(callback: Callback) -> dict[str, Any]:
    """As the job's view shows it. Of the URL only the origin: whoever knows a songhash need not know the rest."""
    return {
        "id": callback.id,
        "to": callback.origin,
        "state": callback.state,
        "attempts": callback.attempts,
        "last_error": callback.last_error or None,
        "next_attempt_at": iso(_seconds(callback.due_ms)),
        "posted_at": iso(_seconds(callback.posted_ms)),
        "ended_at": iso(_seconds(callback.ended_ms)),
    }


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def chosen(outbox: Outbox, *, songhash: str = "", state: str = "") -> list[Callback]:
    """Those of a song, or all; the oldest first."""
    found = outbox.of(songhash, limit=1000) if songhash else list(outbox.all())
    return sorted((one for one in found if state in ("", one.state)), key=lambda one: one.posted_ms)


def listed(found: Iterable[Callback]) -> Iterator[str]:
    """One line a callback: id, state, songhash, attempts, receiver, last error."""
    for one in found:
        due = f"  next {_clock(one.due_ms)}" if one.due_ms else ""
        error = f"  {one.last_error}" if one.last_error else ""
        yield f"{one.id}  {one.state:<9}  {one.songhash}  {one.attempts} attempts  {one.origin}{due}{error}"


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def replay(outbox: Outbox, id_: str) -> None:
    """Sends it again, now and with all attempts. Raises NotFound, and Conflict where its job has not ended."""
    state = outbox.replay(id_)
    if not state:
        raise NotFound(f"unknown callback {id_[:80]!r}", code="callback_unknown")
    if state == "waiting":
        raise Conflict(f"callback {id_} waits for its job to end; there is nothing to send yet")


def replay_all(outbox: Outbox, *, state: str = "failed") -> Iterator[tuple[str, str]]:
    """Each id in that state with what became of it: `pending`, or why not."""
    for one in chosen(outbox, state=state):
        try:
            replay(outbox, one.id)
            yield one.id, "pending"
        except (NotFound, Conflict) as error:
            yield one.id, str(error)
