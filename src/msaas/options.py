"""The options of a request, from the request to the model: one record, its JSON and the stems it selects. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, NoReturn

from msaas.errors import InvalidOption
from msaas.fields import canonical_json, decimal, number_of
from msaas.formats import (
    DEFAULT_BITRATE,
    DEFAULT_FORMAT,
    DEPTH_NAMES,
    FORMAT_NAMES,
    SAMPLE_RATES,
    SOURCE_RATE,
    STEMS_FILE,
    format_named,
    parse_bit_depth,
    parse_bitrate,
    parse_sample_rate,
    parse_switch,
)

STEM_NAME = re.compile(r"[a-z0-9_]{1,32}")
MAX_STEMS = 32
STEMS_IN_FILE = 4
MAX_SHIFTS = 10
MAX_SECONDS = 1e6  # of start and end
MAX_OVERLAP = 0.9
DEMUCS_OVERLAP = 0.25  # apply_model's default
QUALITIES = ("fast", "balanced", "best")
# options that earlier songhashes do not contain, and their defaults
ADDED_LATER: Mapping[str, Any] = {
    "overlap": None,
    "shifts": 0,
    "refine": {},
    "sample_rate": None,
    "bit_depth": None,
    "mono": False,
    "start": None,
    "end": None,
}
RESIDUAL = "residual"  # of a refined stem: what its other parts do not contain

# A stem as it is published: a stem's name, or that of a part, `drums.kick`. An extension, and what one begins with, is
# not a part.
_EXTENSIONS = "|".join(sorted({part for name in FORMAT_NAMES for part in name.split(".")}))
PUBLISHED_STEM = re.compile(rf"{STEM_NAME.pattern}(?:\.(?!(?:{_EXTENSIONS})(?:\.|$)){STEM_NAME.pattern})?")


@dataclass(frozen=True)
class Output:
    """One stem to make: the sum of these sources of the model, or (`rest`) the mixture without them."""

    name: str
    sources: tuple[int, ...]  # indices into the model's sources
    rest: bool = False


@dataclass(frozen=True)
class Options:
    """A request's options, defaults filled in. The songhash depends on `to_json`, byte for byte."""

    model: str
    stems: tuple[str, ...] | None = None  # None: all of the model's
    two_stems: str | None = None  # this source and `no_<source>`, the mixture without it
    format: str = DEFAULT_FORMAT
    bitrate: int | None = DEFAULT_BITRATE  # kb/s; None if the format has no bit rates
    overlap: float | None = None  # of neighbouring segments, as a fraction of one; None: the model's own
    shifts: int = 0  # runs over the song, each shifted by up to half a second, that are averaged; 0: one, not shifted
    sample_rate: int | str | None = None  # Hz, or `source`: the song's own; None: the model's
    bit_depth: str | None = None  # one of the format's; None: its default
    mono: bool = False  # the mean of both channels
    start: float | None = None  # seconds: only this part of the song; None: from its start
    end: float | None = None  # None: to its end
    refine: tuple[tuple[str, str], ...] = ()  # (stem, model): the stem is separated further by this model

    @classmethod
    def parse(
        cls,
        given: Mapping[str, Any],
        *,
        default_model: str,
        allowed: Iterable[str],
        qualities: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Options:
        """Checks each option and fills in defaults. Raises InvalidOption with the allowed values.

        `qualities`: the options that each value of `quality` stands for. Options that are given themselves come first.
        """
        given = _with_quality(given, qualities)
        format_ = format_named(DEFAULT_FORMAT if given.get("format") in (None, "") else given["format"])
        allowed = tuple(allowed)
        options = cls(
            model=_parse_model(given.get("model"), default_model, allowed),
            stems=_parse_stems(given.get("stems")),
            two_stems=_parse_stem("two_stems", given.get("two_stems")),
            format=format_.name,
            bitrate=parse_bitrate(given.get("bitrate"), format_),
            overlap=_parse_overlap(given.get("overlap")),
            shifts=_parse_shifts(given.get("shifts")),
            sample_rate=parse_sample_rate(given.get("sample_rate"), format_),
            bit_depth=parse_bit_depth(given.get("bit_depth"), format_),
            mono=parse_switch("mono", given.get("mono")),
            start=parse_seconds("start", given.get("start")) or None,
            end=parse_seconds("end", given.get("end")),
            refine=_parse_refine(given.get("refine"), allowed),
        )
        if options.stems and options.two_stems:
            raise InvalidOption("stems and two_stems exclude each other: two_stems already names both stems")
        if options.format == STEMS_FILE and (options.stems or options.two_stems or options.refine or options.mono):
            raise InvalidOption(
                f"{STEMS_FILE} has the mix and all stems: stems, two_stems, refine and mono do not apply"
            )
        if options.end is not None and options.end <= (options.start or 0.0):
            raise InvalidOption(f"end {options.end:g} is not after start {options.start or 0:g}")
        return options

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Reads what `to_json` wrote; untrusted input goes through `parse`."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, data: Mapping[str, Any]) -> Options:
        """Reads the fields as JSON stores them."""
        stems, refine = data["stems"], data.get("refine", {})
        return cls(
            **{**data, "stems": None if stems is None else tuple(stems), "refine": tuple(sorted(refine.items()))}
        )

    def to_fields(self) -> dict[str, Any]:
        """The fields as `from_fields` reads them."""
        return asdict(self) | {"refine": dict(self.refine)}

    def to_json(self) -> str:
        """Leaves out defaults of options that were added later, so that earlier songhashes stay the same."""
        known = self.to_fields()
        return canonical_json({name: known[name] for name in known if known[name] != ADDED_LATER.get(name, ...)})

    @property
    def work(self) -> float:
        """The model's work compared with the default options: a song with 2 counts as two songs.

        An overlap is compared with Demucs' own; other families have their own, so that for them it is an estimate. So
        it is for a model that refines a stem: it counts like the model that made the stem.
        """
        return work_of(self.overlap, self.shifts, len(self.refine))

    def refuse_source(self, sample_rate: int) -> None:
        """Raises InvalidOption if stems at the song's own rate are asked for, and the format does not have it."""
        if self.sample_rate == SOURCE_RATE:
            kind = format_named(self.format)
            kind.refuse_rate(sample_rate)
            kind.refuse_bitrate(sample_rate, self.bitrate or 0)

    def refuse_part_of(self, seconds: float | None) -> None:
        """Raises InvalidOption if the part begins after the end of a song whose header declares its length."""
        if seconds is not None and self.start and self.start >= seconds:
            raise InvalidOption(f"start {self.start:g}: the song ends after {seconds:.3f} seconds")

    @property
    def models(self) -> tuple[str, ...]:
        """All models that the request needs, each once."""
        return tuple(dict.fromkeys((self.model, *(model for _, model in self.refine))))

    def outputs(self, sources: Sequence[str]) -> tuple[Output, ...]:
        """The stems to make with a model of these sources, in the model's order.

        Raises InvalidOption naming the stem that the model does not have, or that is refined without being made.
        """
        if self.format == STEMS_FILE and len(sources) != STEMS_IN_FILE:
            raise InvalidOption(
                f"{STEMS_FILE} takes {STEMS_IN_FILE} stems; {self.model} separates {', '.join(sources)}"
            )
        chosen = self._chosen(self._possible(tuple(sources)))
        names = [output.name for output in chosen]
        for stem, _ in self.refine:
            if stem not in names:
                raise InvalidOption(f"refine names the stem {stem!r}; this request makes {', '.join(names)}")
        return chosen

    def _chosen(self, possible: tuple[Output, ...]) -> tuple[Output, ...]:
        if self.stems is None:
            return possible
        names = [output.name for output in possible]
        for stem in self.stems:
            if stem not in names:
                raise self._unknown(stem, names)
        if not self.stems:
            raise InvalidOption(f"no stems were asked for; {self.model} separates {', '.join(names)}")
        return tuple(output for output in possible if output.name in self.stems)

    def _possible(self, sources: tuple[str, ...]) -> tuple[Output, ...]:
        if self.two_stems is None:
            return tuple(Output(name, (index,)) for index, name in enumerate(sources))
        if self.two_stems not in sources:
            raise self._unknown(self.two_stems, sources)
        index = (sources.index(self.two_stems),)
        return Output(self.two_stems, index), Output(f"no_{self.two_stems}", index, rest=True)

    def _unknown(self, stem: str, known: Sequence[str]) -> InvalidOption:
        return InvalidOption(f"{self.model} has no stem {stem!r}; it separates {', '.join(known)}")


def parts_of(stem: str, sources: Sequence[str], *, complete: bool) -> tuple[Output, ...]:
    """The parts of a refined stem: the sources of the model that refines it, and a residual unless they are complete.

    complete: whether they add up to the stem. With the residual they always do.
    Raises InvalidOption for a source after which no part can be named.
    """
    for source in sources:
        if not PUBLISHED_STEM.fullmatch(f"{stem}.{source}") or (source == RESIDUAL and not complete):
            raise InvalidOption(f"{stem} cannot be refined by a model that has a source named {source!r}")
    parts = tuple(Output(f"{stem}.{source}", (index,)) for index, source in enumerate(sources))
    residual = Output(f"{stem}.{RESIDUAL}", tuple(range(len(sources))), rest=True)
    return parts if complete else (*parts, residual)


OPTION_NAMES = tuple(f.name for f in fields(Options))
REQUEST_NAMES = (*OPTION_NAMES, "quality")  # what a request may name; `quality` stands for other options


def complete_options(recorded: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """A record's options with defaults filled in; None if their types are wrong.

    Only types are checked: the models, formats and bit rates on offer change.
    """
    shown = Options(model).to_fields() | dict(recorded)
    return {name: shown[name] for name in OPTION_NAMES} if _are_options(shown) else None


def _are_options(given: Mapping[str, Any]) -> bool:
    stems, bitrate, overlap, refine = given["stems"], given["bitrate"], given["overlap"], given["refine"]
    return (
        isinstance(given["model"], str)
        and given["format"] in FORMAT_NAMES
        and isinstance(given["two_stems"], str | None)
        and (stems is None or (isinstance(stems, list) and all(isinstance(stem, str) for stem in stems)))
        and (bitrate is None or (isinstance(bitrate, int) and not isinstance(bitrate, bool)))
        and (overlap is None or (isinstance(overlap, int | float) and not isinstance(overlap, bool)))
        and isinstance(given["shifts"], int)
        and not isinstance(given["shifts"], bool)
        and given["sample_rate"] in (None, *SAMPLE_RATES)
        and not isinstance(given["sample_rate"], float)
        and given["bit_depth"] in (None, *DEPTH_NAMES)
        and isinstance(given["mono"], bool)
        and all(given[name] is None or number_of(given[name]) is not None for name in ("start", "end"))
        and isinstance(refine, dict)
        and all(isinstance(model, str) for model in refine.values())
    )


def work_of(overlap: float | None, shifts: int, refined: int = 0) -> float:
    """Options.work, also for the damaged numbers of a record. `refined`: the number of refined stems."""
    overlap = DEMUCS_OVERLAP if overlap is None else max(0.0, min(overlap, MAX_OVERLAP))
    passes = 1 + min(refined, MAX_STEMS)
    return passes * max(1, min(shifts, MAX_SHIFTS)) * (1 - DEMUCS_OVERLAP) / (1 - overlap)


def part_seconds(seconds: float, start: float | None, end: float | None) -> float:
    """How long the part of a song of this length is."""
    return max(0.0, (seconds if end is None else min(seconds, end)) - (start or 0.0))


def _with_quality(given: Mapping[str, Any], qualities: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    quality = given.get("quality")
    if quality in (None, ""):
        return given
    if not isinstance(quality, str) or quality not in qualities:
        known = ", ".join(qualities) or "none here"
        raise InvalidOption(f"quality {str(quality)[:20]!r} is unknown; choose one of {known}")
    return {**qualities[quality], **{name: value for name, value in given.items() if value not in (None, "")}}


def _parse_model(value: Any, default: str, allowed: tuple[str, ...]) -> str:
    name = default if value in (None, "") else value
    if name not in allowed:
        raise InvalidOption(f"model {name!r} is not offered here; choose one of {', '.join(allowed)}")
    return str(name)


def _parse_stem(option: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not STEM_NAME.fullmatch(value):
        raise InvalidOption(f"{option} {str(value)[:40]!r} is not a stem name (a-z, 0-9 and _)")
    return value


def _parse_stems(value: Any) -> tuple[str, ...] | None:
    if value in (None, "", [], ()):
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()] or _refuse_empty_stem()
    if not isinstance(value, list | tuple) or len(value) > MAX_STEMS:
        raise InvalidOption("stems takes a list of stem names, or comma-separated names")
    names = {_parse_stem("stems", name) or _refuse_empty_stem() for name in value}
    return tuple(sorted(names)) or None  # sorted: the order asked for does not change the result


def _refuse_empty_stem(option: str = "stems") -> NoReturn:
    raise InvalidOption(f"{option} holds an empty name")


def _parse_overlap(value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        overlap = -1.0 if isinstance(value, bool) else float(str(value))
    except ValueError:
        overlap = -1.0
    if not 0 <= overlap <= MAX_OVERLAP:  # also refuses nan
        raise InvalidOption(f"overlap {str(value)[:20]!r} is not a number from 0 to {MAX_OVERLAP:g}")
    return round(overlap, 4)


def parse_seconds(option: str, value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = -1.0 if isinstance(value, bool) else decimal(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS:  # also refuses nan
        raise InvalidOption(f"{option} {str(value)[:20]!r} is not a number of seconds")
    return round(seconds, 6)


def _parse_shifts(value: Any) -> int:
    if value in (None, ""):
        return 0
    try:
        shifts = -1 if isinstance(value, bool) else int(str(value))
    except ValueError:
        shifts = -1
    if not 0 <= shifts <= MAX_SHIFTS:
        raise InvalidOption(f"shifts {str(value)[:20]!r} is not a whole number from 0 to {MAX_SHIFTS}")
    return shifts


def _parse_refine(value: Any, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """A mapping of stems to models, or as text `drums=mdx23c_drumsep,vocals=…`."""
    if value in (None, "", {}):
        return ()
    if isinstance(value, str):
        value = _parse_pairs(value)
    if not isinstance(value, Mapping) or len(value) > MAX_STEMS:
        raise InvalidOption("refine takes stems and models: drums=mdx23c_drumsep, or in JSON an object")
    pairs = {_parse_stem("refine", stem) or _refuse_empty_stem("refine"): model for stem, model in value.items()}
    return tuple(sorted((stem, _parse_model(model, "", allowed)) for stem, model in pairs.items()))


def _parse_pairs(text: str) -> dict[str, str]:
    found = [_parse_pair(pair) for pair in text.split(",") if pair.strip()] or _refuse_empty_stem("refine")
    pairs = dict(found)
    if len(pairs) < len(found):
        raise InvalidOption("refine names a stem twice; a stem is refined by one model")
    return pairs


def _parse_pair(text: str) -> tuple[str, str]:
    stem, equals, model = text.partition("=")
    if not equals:
        raise InvalidOption(f"refine {text[:40]!r} is not a stem and a model: drums=mdx23c_drumsep")
    return stem.strip(), model.strip()
