"""Job records, their options and their names. No I/O, no clock: both come in as arguments."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import jsonpickle

from msaas.errors import InvalidOption, MSaaSError, NotFound
from msaas.fields import Fields, code_of, number_of

# Raised when the same request would give other bytes: new weights under an old name, another encoder.
RESULT_VERSION = 4
NAMESPACE = uuid.UUID("6d736161-732e-5073-9e6f-6e6768617368")

RECORD_BROKEN = {
    "code": "record_broken",
    "detail": "the job's record in Redis was damaged or overwritten; post the song again",
}

STEM_NAME = re.compile(r"[a-z0-9_]{1,32}")
EXTENSIONS = ("mp3", "flac", "wav")
# MPEG-1 layer III, ISO 11172-3 table 2.4.2.3
MP3_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TRACK = re.compile(
    r"(?P<hash>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r"-(?P<stem>[a-z0-9_]{1,32})(?:\.(?P<extension>mp3|flac|wav))?"
)


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Options:
    """What a caller may choose, defaults filled in: the part of a request that its songhash depends on."""

    model: str
    stems: tuple[str, ...] | None = None  # None: all of the model's
    two_stems: str | None = None
    format: str = "mp3"
    bitrate: int | None = 320  # kb/s; None where the format has none

    @classmethod
    def parse(cls, given: Mapping[str, Any], *, default_model: str, allowed: Iterable[str]) -> Options:
        """Checks each option and fills in defaults. Raises InvalidOption naming the option and what it may be."""
        format_ = _parse_format(given.get("format"))
        options = cls(
            model=_parse_model(given.get("model"), default_model, tuple(allowed)),
            stems=_parse_stems(given.get("stems")),
            two_stems=_parse_stem("two_stems", given.get("two_stems")),
            format=format_,
            bitrate=_parse_bitrate(given.get("bitrate"), format_),
        )
        if options.stems and options.two_stems:
            raise InvalidOption("stems and two_stems exclude each other: two_stems already names both stems")
        return options

    @classmethod
    def from_json(cls, text: str) -> Options:
        data = json.loads(text)
        if data.get("stems") is not None:
            data["stems"] = tuple(data["stems"])
        return cls(**data)

    def to_json(self) -> str:
        return canonical_json(asdict(self))

    def outputs(self, sources: Iterable[str]) -> tuple[str, ...]:
        """The stems this request publishes, given what the model separates. Raises InvalidOption."""
        known = tuple(sources)
        for stem in (*(self.stems or ()), *filter(None, [self.two_stems])):
            if stem not in known:
                raise InvalidOption(f"{self.model} has no stem {stem!r}; it separates {', '.join(known)}")
        if self.two_stems:
            return (self.two_stems, f"no_{self.two_stems}")
        return tuple(stem for stem in known if not self.stems or stem in self.stems)


OPTION_NAMES = tuple(f.name for f in fields(Options))


def _parse_model(value: Any, default: str, allowed: tuple[str, ...]) -> str:
    name = default if value in (None, "") else value
    if name not in allowed:
        raise InvalidOption(f"model {name!r} is not offered here; choose one of {', '.join(allowed)}")
    return str(name)


def _parse_format(value: Any) -> str:
    name = "mp3" if value in (None, "") else value
    if name not in EXTENSIONS:
        raise InvalidOption(f"format {name!r} is unknown; choose one of {', '.join(EXTENSIONS)}")
    return str(name)


def _parse_stem(option: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not STEM_NAME.fullmatch(value):
        raise InvalidOption(f"{option} {str(value)[:40]!r} is no stem's name (a-z, 0-9 and _)")
    return value


def _parse_stems(value: Any) -> tuple[str, ...] | None:
    if value in (None, "", [], ()):
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or len(value) > 32:
        raise InvalidOption("stems takes a list of stem names, or names parted by commas")
    names = {_parse_stem("stems", name) or _refuse_empty_stem() for name in value}
    return tuple(sorted(names)) or None  # sorted: the order asked for does not change the result


def _refuse_empty_stem() -> str:
    raise InvalidOption("stems holds an empty name")


def _parse_bitrate(value: Any, format_: str) -> int | None:
    if format_ != "mp3":
        if value not in (None, ""):
            raise InvalidOption(f"bitrate belongs to mp3; {format_} has none")
        return None
    if value in (None, ""):
        return 320
    try:
        bitrate = int(str(value))
    except ValueError:
        bitrate = -1
    if isinstance(value, bool) or bitrate not in MP3_BITRATES:
        raise InvalidOption(
            f"bitrate {str(value)[:20]!r} is unknown; choose one of {', '.join(map(str, MP3_BITRATES))} kb/s"
        )
    return bitrate


def songhash(audio_sha256: str, options: Options, tenant: str = "") -> str:
    """The job's name: the same audio bytes with the same options are the same job.

    `audio_sha256` is the hex digest of the uploaded bytes as they came. Each tenant has a namespace of its own, so
    that nobody learns what others have sent; without keys there is no tenant.
    """
    namespace = uuid.uuid5(NAMESPACE, f"tenant {tenant}") if tenant else NAMESPACE
    return str(uuid.uuid5(namespace, f"{audio_sha256}{options.to_json()}{RESULT_VERSION}"))


def parse_songhash(text: str) -> str:
    """A UUID in its canonical lower-case form. Raises NotFound: what is no UUID names no job."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else _no_job(text)
    except ValueError:
        return _no_job(text)


def _no_job(text: str) -> str:
    raise NotFound(f"{text[:80]!r} is no songhash: a songhash is a UUID", code="job_unknown")


@dataclass(frozen=True)
class Track:
    """A stem's name as callers write it, `<songhash>-<stem>[.<extension>]`, taken apart."""

    songhash: str
    stem: str
    extension: str | None

    @classmethod
    def parse(cls, text: str) -> Track:
        """Raises NotFound where the text has another form; no other text ever reaches storage."""
        match = _TRACK.fullmatch(text)
        if match is None:
            raise NotFound(f"{text[:120]!r} is no track; a track reads <songhash>-<stem>", code="track_unknown")
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
    tenant: str = ""  # whose key posted it; empty without keys, or where it was pushed by hand
    trouble: str = ""  # what a run waits for, in words: an object store that refuses
    broken: tuple[str, ...] = ()  # fields whose text cannot be read; they have their defaults here

    @classmethod
    def from_hash(cls, songhash: str, record: Mapping[str, str]) -> Job:
        """Reads the hash `job:<songhash>`; fields it does not know are left alone. Never raises."""
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
            trouble=fields.text("trouble"),
            broken=tuple(fields.broken),
        )

    @property
    def stem_extensions(self) -> Mapping[str, str]:
        """Published stems and the extension of each; empty until the job is done."""
        stems = self.result.get("stems")
        if self.state is not State.DONE or not isinstance(stems, Mapping):
            return {}
        return {stem: end for stem, end in stems.items() if STEM_NAME.fullmatch(stem) and end in EXTENSIONS}

    @property
    def warnings(self) -> list[dict[str, str]]:
        """Codes and details of what was amiss with the song, or had to be done to it; of a job that is done."""
        found = self.result.get("warnings") if self.state is State.DONE else None
        known = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
        pairs = [(code_of(one.get("code"), ""), str(one.get("detail", ""))) for one in known]
        return [{"code": code, "detail": detail} for code, detail in pairs if code]

    @property
    def last_error(self) -> dict[str, str] | None:
        """Code and detail of what ended the latest run that failed, whether or not another follows."""
        if not self.error:
            return None
        code = code_of(self.error.get("code"), MSaaSError.code)
        return {"code": code, "detail": str(self.error.get("detail", ""))}

    @property
    def reason(self) -> dict[str, str] | None:
        """Code and detail of why it failed; of a job that has."""
        return self.last_error if self.state is State.FAILED else None

    @property
    def known_options(self) -> dict[str, Any] | None:
        """Those that are asked for, defaults filled in; None where they are not what options can be."""
        shown = asdict(Options(self.model)) | dict(self.options or {})
        if not self.options or not _are_options(shown):
            return None
        return {name: shown[name] for name in OPTION_NAMES}

    @property
    def model_ran(self) -> str | None:
        """The one that ran, as its worker tells; before that the one asked for."""
        ran = self.result.get("model")
        return str(ran["name"]) if isinstance(ran, Mapping) and "name" in ran else self.model or None

    @property
    def duration_seconds(self) -> float | None:
        """As decoded; before that as the upload declares."""
        found = number_of(self.result.get("duration_seconds"))
        return number_of(self.upload.get("duration_seconds")) if found is None else found

    @property
    def timings(self) -> dict[str, float]:
        """Seconds, by what took them."""
        timings: dict[str, float] = {}
        if self.created_at is not None and self.started_at is not None:
            timings["waited_seconds"] = round(self.started_at - self.created_at, 3)
        if self.started_at is not None and self.finished_at is not None:
            timings["ran_seconds"] = round(self.finished_at - self.started_at, 3)
        ran = self.result.get("timings")
        known = {name: number_of(seconds) for name, seconds in ran.items()} if isinstance(ran, Mapping) else {}
        return timings | {name: seconds for name, seconds in known.items() if seconds is not None}


def _are_options(given: Mapping[str, Any]) -> bool:
    """By their types alone: models, formats and bit rates come and go."""
    stems, bitrate = given["stems"], given["bitrate"]
    return (
        isinstance(given["model"], str)
        and given["format"] in EXTENSIONS
        and isinstance(given["two_stems"], str | None)
        and (stems is None or (isinstance(stems, list) and all(isinstance(stem, str) for stem in stems)))
        and (bitrate is None or (isinstance(bitrate, int) and not isinstance(bitrate, bool)))
    )


def parse_state(text: str | None) -> State | None:
    """None where the text is no state."""
    try:
        return State(text) if text is not None else None
    except ValueError:
        return None


def _state_of(fields: Fields) -> State | None:
    state = parse_state(fields.text("state", State.QUEUED))
    if state is None:
        fields.broken.append("state")
    return state


def iso(seconds: float | None) -> str | None:
    """ISO 8601, UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def canonical_json(value: Any) -> str:
    """The one spelling of a value that hashes are taken of: sorted keys, no spaces, no NaN.

    A lone surrogate, which JSON may hold and UTF-8 may not, is written as its escape.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def record_json(value: Any) -> str:
    """JSON for a record's field. jsonpickle flattens dataclasses, paths and enums; nothing is ever unpickled."""
    return str(jsonpickle.encode(value, unpicklable=False, keys=True))
