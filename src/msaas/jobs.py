"""Job records and their names. No I/O, no clock: both come in as arguments."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import jsonpickle

from msaas.errors import MSaaSError, NotFound
from msaas.fields import Fields, code_of, number_of
from msaas.formats import FORMAT_NAMES
from msaas.options import PUBLISHED_STEM, Options, complete_options, part_seconds, work_of
from msaas.song_names import clean_tags, song_name

# Increase it when the same request gives other samples by any model, as with another encoder. Tags, which stand around
# the samples, do not count.
RESULT_VERSION = 4
# Of models that have new weights under their old name: the stems that other models made stay. An ensemble with such a
# member needs an entry of its own.
WEIGHTS_VERSIONS = {"htdemucs_mini": 2}
NAMESPACE = uuid.UUID("6d736161-732e-5073-9e6f-6e6768617368")

RECORD_BROKEN = {
    "code": "record_broken",
    "detail": "the job's record in Redis was damaged or overwritten; post the song again",
}

_TRACK = re.compile(
    r"(?P<hash>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    rf"-(?P<stem>{PUBLISHED_STEM.pattern})(?:\.(?P<extension>{'|'.join(FORMAT_NAMES)}))?"
)

ALL_STEMS = "*"  # in the field `removed` of a record
LOW = "low"
PRIORITIES = ("normal", LOW)  # the first is the default


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


def songhash(audio_sha256: str, options: Options, tenant: str = "") -> str:
    """The job's name: the same audio bytes with the same options are the same job.

    `audio_sha256` is the hex digest of the uploaded bytes. Each tenant has a namespace of its own, so that
    a songhash does not reveal what other tenants have sent; without keys there is no tenant.
    """
    namespace = uuid.uuid5(NAMESPACE, f"tenant {tenant}") if tenant else NAMESPACE
    return str(uuid.uuid5(namespace, f"{audio_sha256}{options.to_json()}{_result_version(options)}"))


def _result_version(options: Options) -> str:
    models = [options.model, *dict(options.refine).values()]
    renewed = (f" {model} {WEIGHTS_VERSIONS[model]}" for model in models if model in WEIGHTS_VERSIONS)
    return f"{RESULT_VERSION}{''.join(renewed)}"


def parse_songhash(text: str) -> str:
    """A UUID in its canonical lower-case form. Raises NotFound if the text is not a UUID."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else _no_job(text)
    except ValueError:
        return _no_job(text)


def is_songhash(text: str) -> bool:
    """Whether the text is a UUID in its canonical lower-case form."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _no_job(text: str) -> str:
    raise NotFound(f"{text[:80]!r} is not a songhash: a songhash is a UUID", code="job_unknown")


@dataclass(frozen=True)
class Track:
    """A stem's name as callers write it, `<songhash>-<stem>[.<extension>]`, parsed."""

    songhash: str
    stem: str
    extension: str | None

    @classmethod
    def parse(cls, text: str) -> Track:
        """Raises NotFound if the text has another form, which never reaches storage."""
        match = _TRACK.fullmatch(text)
        if match is None:
            raise NotFound(f"{text[:120]!r} is not a track: a track is named <songhash>-<stem>", code="track_unknown")
        return cls(match["hash"].lower(), match["stem"], match["extension"])

    def object_name(self, extension: str) -> str:
        return f"{self.songhash}-{self.stem}.{extension}"


@dataclass(frozen=True)
class Job:
    """One song's record, as Redis keeps it. Times are seconds since 1970, UTC, by Redis' clock."""

    songhash: str
    state: State
    stage: str = ""
    progress: float = 0.0
    attempts: int = 0
    fence: int = 0
    worker: str = ""
    model: str = ""
    options: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] = field(default_factory=dict)  # stems ▸ extension, duration, timings, gain, …
    upload: Mapping[str, Any] = field(default_factory=dict)  # bytes, container, codec, duration as declared
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    tenant: str = ""  # whose key posted it; empty without keys, or if the job was pushed by hand
    retry_reason: str = ""  # why a run waits, as text: an object store that refuses
    priority: str = ""  # LOW: it waits behind all others
    account: str = ""  # whose quotas it is charged to, until it ends
    fetch_url: str = field(default="", repr=False)  # of a provisional job: where its song is; a secret
    fetch_from: str = ""  # the part of the URL that may be shown
    listed_in: str = ""  # the list that it waits in, if not toWorkers
    mix_of: str = ""  # the songhash whose stems this mix is made of
    mix: Mapping[str, Any] | None = None  # its settings, msaas.mixing.request
    leads_to: str = ""  # the songhash that a provisional job became
    removed: str = ""  # the stems that were deleted since it is done, separated by spaces; or ALL_STEMS
    broken: tuple[str, ...] = ()  # fields whose text cannot be read; they have their defaults here

    @classmethod
    def from_hash(cls, songhash: str, record: Mapping[str, str]) -> Job:
        """Reads the hash `job:<songhash>` and ignores unknown fields. Never raises."""
        fields = Fields(record)
        state, error = _state_of(fields), fields.mapping("error")
        return cls(
            songhash=songhash,
            state=state or State.FAILED,
            stage=fields.text("stage"),
            progress=fields.share("progress"),
            attempts=fields.count("attempts"),
            fence=fields.count("fence"),
            worker=fields.text("worker"),
            model=fields.text("model"),
            options=fields.mapping("options"),
            error=error if state else RECORD_BROKEN,
            result=fields.mapping("result") or {},
            upload=fields.mapping("upload") or {},
            created_at=fields.seconds("created_ms"),
            started_at=fields.seconds("started_ms"),
            finished_at=fields.seconds("finished_ms"),
            tenant=fields.text("tenant"),
            retry_reason=fields.text("trouble"),
            priority=fields.text("priority"),
            account=fields.text("account"),
            fetch_url=fields.text("fetch_url"),
            fetch_from=fields.text("fetch_from"),
            listed_in=fields.text("list"),
            mix_of=fields.text("mix_of"),
            mix=fields.mapping("mix"),
            leads_to=fields.text("leads_to"),
            removed=fields.text("removed"),
            broken=tuple(fields.broken),
        )

    @property
    def provisional(self) -> bool:
        """Its song is not fetched yet, or could not be: it has no songhash, only an ID."""
        return bool(self.fetch_from) and not self.leads_to

    @property
    def stem_extensions(self) -> Mapping[str, str]:
        """Published stems and the extension of each; empty until the job is done."""
        stems = self.result.get("stems")
        if self.state is not State.DONE or not isinstance(stems, Mapping):
            return {}
        return {stem: end for stem, end in stems.items() if PUBLISHED_STEM.fullmatch(stem) and end in FORMAT_NAMES}

    @property
    def removed_stems(self) -> list[str]:
        """The published stems that were deleted; their links answer 404."""
        removed = self.removed.split()
        return [stem for stem in self.stem_extensions if stem in removed or ALL_STEMS in removed]

    @property
    def warnings(self) -> list[dict[str, str]]:
        """Codes and details of the song's defects and of what was done about them; only for a job that is done."""
        found = self.result.get("warnings") if self.state is State.DONE else None
        known = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
        pairs = [(code_of(one.get("code"), ""), str(one.get("detail", ""))) for one in known]
        return [{"code": code, "detail": detail} for code, detail in pairs if code]

    @property
    def tags(self) -> dict[str, str]:
        """The song's own tags: title, artist, album, track, date; those that it has."""
        return clean_tags(self.upload.get("tags"))

    @property
    def name(self) -> str:
        """What the song's files are called where a link gives no name; empty if nothing is known."""
        file = self.upload.get("filename")
        return song_name(self.tags, file if isinstance(file, str) else "")

    @property
    def last_error(self) -> dict[str, str] | None:
        """Code and detail of the latest failed run, even if the job is retried."""
        if not self.error:
            return None
        code = code_of(self.error.get("code"), MSaaSError.code)
        return {"code": code, "detail": str(self.error.get("detail", ""))}

    @property
    def reason(self) -> dict[str, str] | None:
        """Code and detail of the failure; None unless the job has failed."""
        return self.last_error if self.state is State.FAILED else None

    @property
    def known_options(self) -> dict[str, Any] | None:
        """The requested options with their defaults; None if the record's options are damaged."""
        return complete_options(self.options, self.model) if self.options else None

    @property
    def work(self) -> float:
        """The model's work compared with the default options."""
        known = self.known_options
        return work_of(known["overlap"], known["shifts"], len(known["refine"])) if known else 1.0

    @property
    def models(self) -> tuple[str, ...]:
        """The models that a worker must offer to run the job; none if it runs any worker's default."""
        return tuple(dict.fromkeys(self.passes))

    @property
    def passes(self) -> tuple[str, ...]:
        """The model of each pass over the song: its own, then one for each refined stem.

        jobs/common.lua reads the same: a refinement that is damaged needs no model, so that the run fails and says so.
        """
        given = self.options.get("refine") if self.options else None
        refining = list(given.values()) if isinstance(given, Mapping) else []
        readable = refining if all(isinstance(model, str) for model in refining) else []
        return (self.model, *readable) if self.model else ()

    @property
    def model_ran(self) -> str | None:
        """The model that ran, as the worker reports it; before the run, the one requested."""
        ran = self.result.get("model")
        return str(ran["name"]) if isinstance(ran, Mapping) and "name" in ran else self.model or None

    @property
    def duration_seconds(self) -> float | None:
        """As decoded; before that as the upload declares."""
        found = number_of(self.result.get("duration_seconds"))
        return self.declared_seconds if found is None else found

    @property
    def declared_seconds(self) -> float | None:
        """The length of what is separated, as the upload declares it."""
        seconds, known = number_of(self.upload.get("duration_seconds")), self.known_options
        return seconds if seconds is None or known is None else part_seconds(seconds, known["start"], known["end"])

    @property
    def timings(self) -> dict[str, float]:
        """Seconds of each step."""
        timings: dict[str, float] = {}
        if self.created_at is not None and self.started_at is not None:
            timings["waited_seconds"] = round(self.started_at - self.created_at, 3)
        if self.started_at is not None and self.finished_at is not None:
            timings["ran_seconds"] = round(self.finished_at - self.started_at, 3)
        ran = self.result.get("timings")
        known = {name: number_of(seconds) for name, seconds in ran.items()} if isinstance(ran, Mapping) else {}
        return timings | {name: seconds for name, seconds in known.items() if seconds is not None}

    @property
    def analysis(self) -> dict[str, Any] | None:
        """Loudness, tempo and key, each None where the song leaves it open; None if nothing was measured."""
        given = self.result.get("analysis")
        if not isinstance(given, Mapping):
            return None
        found = {name: _measured(given.get(name), numbers) for name, numbers in _ANALYSIS.items()}
        if (key := found["key"]) is not None and "name" not in key:
            found["key"] = None
        return found


MAX_MEASURED = 1e6
# the numbers in each part of an analysis
_ANALYSIS = {
    "loudness": ("integrated_lufs", "true_peak_dbtp"),
    "tempo": ("bpm", "confidence", "first_beat_seconds"),
    "key": ("confidence", "tuning_cents"),
}
_SHARES = ("confidence",)  # from 0 to 1
_OPTIONAL = ("first_beat_seconds",)  # None where the song leaves them open


def _measured(part: Any, names: Iterable[str]) -> dict[str, Any] | None:
    """None if the part is missing or damaged."""
    if not isinstance(part, Mapping):
        return None
    numbers = {name: part.get(name) for name in names}
    if not all(_is_measured(name, value) for name, value in numbers.items()):
        return None
    return ({"name": part["name"]} if isinstance(part.get("name"), str) else {}) | numbers


def _is_measured(name: str, value: Any) -> bool:
    if value is None:
        return name in _OPTIONAL
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_MEASURED:
        return False
    return name not in _SHARES or 0 <= value <= 1


def parse_state(text: str | None) -> State | None:
    """None if the text is not a state."""
    try:
        return State(text) if text is not None else None
    except ValueError:
        return None


def _state_of(fields: Fields) -> State | None:
    state = parse_state(fields.text("state", State.QUEUED))
    if state is None:
        fields.broken.append("state")
    return state


# --- the public view


def job_link(songhash: str, base_url: str = "") -> str:
    return f"{base_url}/apiv1/jobs/{songhash}"


def with_name(link: str, name: str) -> str:
    """The link under which files are saved with this name; the link itself for an empty one."""
    return f"{link}?name={quote(name, safe='')}" if name else link


def stem_links(job: Job, base_url: str = "", name: str = "") -> dict[str, str]:
    links = {stem: f"{base_url}/apiv1/track/{job.songhash}-{stem}" for stem in job.stem_extensions}
    return {stem: with_name(link, name) for stem, link in links.items()}


def public_fields(job: Job, base_url: str = "", name: str = "") -> dict[str, Any]:
    """`base_url` makes the links absolute; without one they are paths below the API's own address. `name`: what the
    song is called instead of the record's name."""
    return {
        "songhash": job.songhash,
        "state": job.state.value,
        "name": name or job.name or None,
        "tags": job.tags,
        "stems": stem_links(job, base_url, name),
        "error": job.reason,
        "warnings": job.warnings,
        "model": job.model_ran,
        "options": job.known_options,
        "duration_seconds": job.duration_seconds,
        "analysis": job.analysis,
        "attempts": job.attempts,
        "timings": job.timings,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
    }


def iso(seconds: float | None) -> str | None:
    """ISO 8601, UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_json(value: Any) -> str:
    """JSON for a record's field. jsonpickle flattens dataclasses, paths and enums; nothing is ever unpickled."""
    return str(jsonpickle.encode(value, unpicklable=False, keys=True))
