"""Lists and replays callbacks, for `msaas callbacks`. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from msaas.callbacks.outbox import Callback, Outbox
from msaas.errors import Conflict, NotFound
from msaas.jobs import iso


def view(callback: Callback) -> dict[str, Any]:
    """The callback as in a job's view. Shows only the URL's origin, since anyone with a songhash can read it."""
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
    """The callbacks of a song, or all; oldest first."""
    found = outbox.of(songhash, limit=1000) if songhash else list(outbox.all())
    return sorted((one for one in found if state in ("", one.state)), key=lambda one: one.posted_ms)


def listed(found: Iterable[Callback]) -> Iterator[str]:
    """One line per callback: id, state, songhash, attempts, receiver, last error."""
    for one in found:
        due = f"  next {_clock(one.due_ms)}" if one.due_ms else ""
        error = f"  {one.last_error}" if one.last_error else ""
        yield f"{one.id}  {one.state:<9}  {one.songhash}  {one.attempts} attempts  {one.origin}{due}{error}"


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def replay(outbox: Outbox, id_: str) -> None:
    """Sends a callback again, now and with all attempts. Raises NotFound, and Conflict if its job has not ended."""
    state = outbox.replay(id_)
    if not state:
        raise NotFound(f"unknown callback {id_[:80]!r}", code="callback_unknown")
    if state == "waiting":
        raise Conflict(f"callback {id_} is waiting for its job to end")


def replay_all(outbox: Outbox, *, state: str = "failed") -> Iterator[tuple[str, str]]:
    """Each id in that state with the result: `pending`, or the reason it was not replayed."""
    for one in chosen(outbox, state=state):
        try:
            replay(outbox, one.id)
            yield one.id, "pending"
        except (NotFound, Conflict) as error:
            yield one.id, str(error)
