"""What the API answers, typed. Frozen; members this version does not know are kept in `view` and else ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msaas.formats import DEFAULT_FORMAT

ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class JobError:
    """Why a job failed: `code` for programs, `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class WaitingFor:
    """What has to come before anybody can run a queued job: `code` for programs, `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class JobWarning:
    """What was amiss with a song that was separated all the same: `code` for programs, `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class Job:
    """One song's way through the service, as it stood when it was asked about."""

    songhash: str
    state: str  # queued ▸ running ▸ done | failed | cancelled
    stage: str = ""
    progress: float = 0.0  # 0 to 1
    queue_position: int | None = None  # songs ahead; None once it is in work
    eta_seconds: float | None = None
    waiting_for: WaitingFor | None = None  # of a queued job that nobody can run just now
    attempts: int = 0
    error: JobError | None = None
    warnings: Sequence[JobWarning] = ()  # of the song: damage, a downmix, a gain; empty until it is done
    message: str = ""
    model: str | None = None
    options: Mapping[str, Any] | None = None
    duration_seconds: float | None = None
    stems: Mapping[str, str] = field(default_factory=dict)  # name ▸ path of the API; empty until it is done
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds, by what took them
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the answer as it came

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def format(self) -> str:
        """Of its stems: `mp3`, `flac` or `wav`, which are file extensions too."""
        return str((self.options or {}).get("format") or DEFAULT_FORMAT)

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Job:
        """Raises KeyError, TypeError or ValueError where it is no job's view."""
        error, awaited = view.get("error"), view.get("waiting_for")
        return cls(
            songhash=str(view["songhash"]),
            state=str(view["state"]),
            stage=str(view.get("stage") or ""),
            progress=float(view.get("progress") or 0),
            queue_position=None if view.get("queue_position") is None else int(view["queue_position"]),
            eta_seconds=_seconds(view, "eta_seconds"),
            waiting_for=WaitingFor(str(awaited["code"]), str(awaited["detail"])) if awaited else None,
            attempts=int(view.get("attempts") or 0),
            error=JobError(str(error["code"]), str(error["detail"])) if error else None,
            warnings=tuple(JobWarning(str(one["code"]), str(one["detail"])) for one in view.get("warnings") or ()),
            message=str(view.get("message") or ""),
            model=view.get("model"),
            options=_mapping(view, "options") or None,
            duration_seconds=_seconds(view, "duration_seconds"),
            stems=_mapping(view, "stems"),
            timings=_mapping(view, "timings"),
            created_at=_time(view, "created_at"),
            started_at=_time(view, "started_at"),
            finished_at=_time(view, "finished_at"),
            view=view,
        )


def _mapping(view: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = view.get(name) or {}
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} is no object")
    return found


def _seconds(view: Mapping[str, Any], name: str) -> float | None:
    found = view.get(name)
    return None if found is None else float(found)


def _time(view: Mapping[str, Any], name: str) -> datetime | None:
    text = view.get(name)
    return datetime.fromisoformat(text) if text else None


def _troubles(view: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, view.get("troubles") or ()))  # an older service tells of none


@dataclass(frozen=True)
class Queue:
    """What waits, head first (one page of `total`), what is in work, what was given up. All songhashes."""

    waiting: Sequence[str]
    total: int
    in_work: Sequence[str]
    dead: Sequence[str]
    troubles: Sequence[str] = ()  # what keeps workers from starting songs, in words
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Queue:
        """Raises KeyError where it is no queue's view."""
        waiting = tuple(view["queue"])
        return cls(waiting, int(view["total"]), tuple(view["in_work"]), tuple(view["dead"]), _troubles(view), view)
