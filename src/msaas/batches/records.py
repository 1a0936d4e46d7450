"""A batch and the states of its songs as frozen records. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msaas.errors import NotFound
from msaas.fields import Fields
from msaas.jobs import Job, State, parse_songhash
from msaas.queue import BATCHES

EXPIRED = "expired"  # of a song whose record was deleted
STATES = (*(state.value for state in State), EXPIRED)
ENDED = (State.DONE, State.FAILED, State.CANCELLED, EXPIRED)


@dataclass(frozen=True)
class Batch:
    """`songs`: the provisional jobs of its songs, in order. `filled`: all of them have been queued."""

    id: str
    state: State
    tenant: str
    priority: str
    songs: tuple[str, ...]
    filled: bool
    created_at: float | None
    finished_at: float | None
    result: Mapping[str, Any]

    @classmethod
    def from_hash(cls, id_: str, record: Mapping[str, str]) -> Batch | None:
        """None if the record is missing or another job's."""
        if record.get("list") != BATCHES:
            return None
        job, fields = Job.from_hash(id_, record), Fields(record)
        named = (fields.mapping("songs") or {}).get("ids")
        songs = [_songhash(one) for one in named] if isinstance(named, list) else []
        return cls(
            id=id_,
            state=job.state,
            tenant=job.tenant,
            priority=job.priority or "normal",
            songs=tuple(song for song in songs if song),
            filled=fields.text("filled") == "1",
            created_at=job.created_at,
            finished_at=job.finished_at,
            result=job.result,
        )


def _songhash(text: object) -> str:
    try:
        return parse_songhash(text) if isinstance(text, str) else ""
    except NotFound:
        return ""


@dataclass(frozen=True)
class SongState:
    """`id`: the provisional job; `songhash`: the job that it leads to, empty until its song was read."""

    id: str
    songhash: str
    state: str
    error: Mapping[str, str] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def counts_of(songs: Sequence[SongState]) -> dict[str, int]:
    found = Counter(song.state for song in songs)
    return {state: found[state] for state in STATES}
