"""The API's answers as frozen records. Unknown members are kept in `view`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msaas.formats import DEFAULT_FORMAT

ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class JobError:
    """The reason of a failure: `code` for programs, `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class WaitingFor:
    """What a queued job waits for before any worker can run it: `code` for programs, `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class JobWarning:
    """A defect of a song that was separated nevertheless: `code` for programs, `detail` for people."""

    code: str
    detail: str


@dataclass(frozen=True)
class Job:
    """The state of one job at the time of the call."""

    songhash: str
    state: str  # queued ▸ running ▸ done | failed | cancelled
    name: str = ""  # what saved files are called; empty if the service knows nothing
    tags: Mapping[str, str] = field(default_factory=dict)  # title, artist, album, track, date of the song's file
    stage: str = ""
    progress: float = 0.0  # 0 to 1
    queue_position: int | None = None  # songs ahead; None once it runs
    eta_seconds: float | None = None
    waiting_for: WaitingFor | None = None  # for a queued job that no worker can run at present
    attempts: int = 0
    priority: str = "normal"  # low: it waits behind all songs that are not
    error: JobError | None = None
    warnings: Sequence[JobWarning] = ()  # damage, a downmix, a gain; empty until done
    message: str = ""
    model: str | None = None
    options: Mapping[str, Any] | None = None
    duration_seconds: float | None = None
    analysis: Mapping[str, Any] = field(default_factory=dict)  # loudness, tempo, key, each None if unknown; once done
    mix: Mapping[str, Any] = field(
        default_factory=dict
    )  # of a mix: `of` (the song), `levels`, `gain_db`, …; else empty
    stems: Mapping[str, str] = field(default_factory=dict)  # name ▸ path in the API; empty until done
    removed: Sequence[str] = ()  # those of the stems that were removed since: their links answer 404
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds by phase
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    provisional: bool = False  # its song is fetched first: `songhash` is an ID that leads to the song's job
    known: bool | None = None  # from `submit`: whether the service had the job already
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the unparsed answer

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def stems_removed(self) -> bool:
        """Whether it is done, but none of its stems is stored any more."""
        return bool(self.removed) and set(self.stems) <= set(self.removed)

    @property
    def format(self) -> str:
        """The stems' format: `mp3`, `flac`, …, also the file extension."""
        return str((self.options or self.mix).get("format") or DEFAULT_FORMAT)

    @classmethod
    def all_in(cls, page: Mapping[str, Any]) -> tuple[Job, ...]:
        """The jobs of a page of songs. Raises KeyError, TypeError or ValueError for an invalid page."""
        return tuple(map(cls.from_view, page["jobs"]))

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Job:
        """Raises KeyError, TypeError or ValueError for an invalid view."""
        error, waiting = view.get("error"), view.get("waiting_for")
        return cls(
            songhash=str(view["songhash"]),
            state=str(view["state"]),
            name=str(view.get("name") or ""),
            tags=_mapping(view, "tags"),
            stage=str(view.get("stage") or ""),
            progress=float(view.get("progress") or 0),
            queue_position=None if view.get("queue_position") is None else int(view["queue_position"]),
            eta_seconds=_seconds(view, "eta_seconds"),
            waiting_for=WaitingFor(str(waiting["code"]), str(waiting["detail"])) if waiting else None,
            attempts=int(view.get("attempts") or 0),
            priority=str(view.get("priority") or "normal"),
            error=JobError(str(error["code"]), str(error["detail"])) if error else None,
            warnings=tuple(JobWarning(str(one["code"]), str(one["detail"])) for one in view.get("warnings") or ()),
            message=str(view.get("message") or ""),
            model=view.get("model"),
            options=_mapping(view, "options") or None,
            duration_seconds=_seconds(view, "duration_seconds"),
            analysis=_mapping(view, "analysis"),
            mix=_mapping(view, "mix"),
            stems=_mapping(view, "stems"),
            removed=tuple(map(str, view.get("removed") or ())),
            timings=_mapping(view, "timings"),
            created_at=_time(view, "created_at"),
            started_at=_time(view, "started_at"),
            finished_at=_time(view, "finished_at"),
            provisional=view.get("provisional") is True,
            view=view,
        )


def _mapping(view: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = view.get(name) or {}
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} is not an object")
    return found


def _seconds(view: Mapping[str, Any], name: str) -> float | None:
    found = view.get(name)
    return None if found is None else float(found)


def _time(view: Mapping[str, Any], name: str) -> datetime | None:
    text = view.get(name)
    return datetime.fromisoformat(text) if text else None


def _parse_reasons(view: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, view.get("troubles") or ()))  # older services do not send this


@dataclass(frozen=True)
class Model:
    """A model that a request may choose. What the service does not know of it is None or empty."""

    name: str
    sources: Sequence[str] | None = None  # its stems
    workers: int = 0  # that offer it now
    default: bool = False
    family: str | None = None
    summary: str = ""  # one sentence: for whom it is
    licence: str | None = None  # of its weights: an SPDX identifier, or "not stated"
    commercial: bool | None = None  # whether the licence allows use in commerce
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_view(cls, view: Mapping[str, Any], default: str = "") -> Model:
        """Raises KeyError or TypeError for an invalid view."""
        licence, sources = _mapping(view, "licence"), view.get("sources")
        return cls(
            name=str(view["name"]),
            sources=None if sources is None else tuple(map(str, sources)),
            workers=int(view.get("workers") or 0),
            default=view["name"] == default,
            family=view.get("family"),
            summary=str(view.get("summary") or ""),
            licence=licence.get("id"),
            commercial=licence.get("commercial"),
            view=view,
        )

    @classmethod
    def all_in(cls, offer: Mapping[str, Any]) -> tuple[Model, ...]:
        """The models of an answer of GET /apiv1/models."""
        return tuple(cls.from_view(view, str(offer.get("default") or "")) for view in offer["models"])


@dataclass(frozen=True)
class Batch:
    """Many songs that were sent together. `counts`: number of songs by state; `songs`: each song's `id` (of its
    provisional job), `songhash`, `state` and `error`, in order."""

    id: str
    state: str  # queued until all songs have ended, then done; or cancelled
    total: int
    counts: Mapping[str, int]
    songs: Sequence[Mapping[str, Any]]
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.state in ("done", "cancelled")

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Batch:
        """Raises KeyError or TypeError for an invalid view."""
        counts = {str(state): int(count) for state, count in view["counts"].items()}
        songs = tuple(dict(song) for song in view["songs"])
        return cls(str(view["batch"]), str(view["state"]), int(view["total"]), counts, songs, view)


@dataclass(frozen=True)
class Share:
    """A link by which a song is read without a key. `url`: for people, and `token`: only of a new link."""

    id: str
    songhash: str
    created_at: datetime | None
    expires_at: datetime | None
    mix: str = ""
    url: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_view(cls, view: Mapping[str, Any], base_url: str = "") -> Share:
        """Raises KeyError, TypeError or ValueError for an invalid view."""
        return cls(
            id=str(view["id"]),
            songhash=str(view["songhash"]),
            created_at=_time(view, "created_at"),
            expires_at=_time(view, "expires_at"),
            mix=str(view.get("mix") or ""),
            url=f"{base_url}{view['url']}" if view.get("url") else "",
            token=str(view.get("token") or ""),
            view=view,
        )

    @classmethod
    def all_in(cls, page: Mapping[str, Any]) -> tuple[Share, ...]:
        return tuple(map(cls.from_view, page["shares"]))


@dataclass(frozen=True)
class Queue:
    """Waiting jobs, head first (one page of `total`), running jobs, dead jobs. All songhashes."""

    waiting: Sequence[str]
    total: int
    in_work: Sequence[str]
    dead: Sequence[str]
    troubles: Sequence[str] = ()  # reasons why workers cannot start songs, as text
    view: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_view(cls, view: Mapping[str, Any]) -> Queue:
        """Raises KeyError for an invalid view."""
        waiting = tuple(view["queue"])
        return cls(waiting, int(view["total"]), tuple(view["in_work"]), tuple(view["dead"]), _parse_reasons(view), view)
