"""The options of a request, from the request to the model: one record, its JSON and the stems it selects. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NoReturn

from msaas.errors import InvalidOption
from msaas.fields import canonical_json
from msaas.formats import DEFAULT_BITRATE, DEFAULT_FORMAT, FORMAT_NAMES, WITH_BITRATES, Format, format_named

STEM_NAME = re.compile(r"[a-z0-9_]{1,32}")
MAX_STEMS = 32


@dataclass(frozen=True)
class Output:
    """One stem to make: a source of the model, or (`rest`) the mixture without it."""

    name: str
    source: int  # index into the model's sources
    rest: bool = False


@dataclass(frozen=True)
class Options:
    """A request's options, defaults filled in. The songhash depends on `to_json`, byte for byte."""

    model: str
    stems: tuple[str, ...] | None = None  # None: all of the model's
    two_stems: str | None = None  # this source and `no_<source>`, the mixture without it
    format: str = DEFAULT_FORMAT
    bitrate: int | None = DEFAULT_BITRATE  # kb/s; None if the format has no bit rates

    @classmethod
    def parse(cls, given: Mapping[str, Any], *, default_model: str, allowed: Iterable[str]) -> Options:
        """Checks each option and fills in defaults. Raises InvalidOption with the allowed values."""
        format_ = format_named(DEFAULT_FORMAT if given.get("format") in (None, "") else given["format"])
        options = cls(
            model=_parse_model(given.get("model"), default_model, tuple(allowed)),
            stems=_parse_stems(given.get("stems")),
            two_stems=_parse_stem("two_stems", given.get("two_stems")),
            format=format_.name,
            bitrate=_parse_bitrate(given.get("bitrate"), format_),
        )
        if options.stems and options.two_stems:
            raise InvalidOption("stems and two_stems exclude each other: two_stems already names both stems")
        return options

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Reads what `to_json` wrote; untrusted input goes through `parse`."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, data: Mapping[str, Any]) -> Options:
        """Reads the fields as JSON stores them: a list instead of a tuple."""
        stems = data["stems"]
        return cls(**{**data, "stems": None if stems is None else tuple(stems)})

    def to_json(self) -> str:
        return canonical_json(asdict(self))

    def outputs(self, sources: Sequence[str]) -> tuple[Output, ...]:
        """The stems to make with a model of these sources, in the model's order.

        Raises InvalidOption naming the stem that the model does not have.
        """
        possible = self._possible(tuple(sources))
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
            return tuple(Output(name, index) for index, name in enumerate(sources))
        if self.two_stems not in sources:
            raise self._unknown(self.two_stems, sources)
        index = sources.index(self.two_stems)
        return Output(self.two_stems, index), Output(f"no_{self.two_stems}", index, rest=True)

    def _unknown(self, stem: str, known: Sequence[str]) -> InvalidOption:
        return InvalidOption(f"{self.model} has no stem {stem!r}; it separates {', '.join(known)}")


OPTION_NAMES = tuple(f.name for f in fields(Options))


def complete_options(recorded: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """A record's options with defaults filled in; None if their types are wrong.

    Only types are checked: the models, formats and bit rates on offer change.
    """
    shown = asdict(Options(model)) | dict(recorded)
    return {name: shown[name] for name in OPTION_NAMES} if _are_options(shown) else None


def _are_options(given: Mapping[str, Any]) -> bool:
    stems, bitrate = given["stems"], given["bitrate"]
    return (
        isinstance(given["model"], str)
        and given["format"] in FORMAT_NAMES
        and isinstance(given["two_stems"], str | None)
        and (stems is None or (isinstance(stems, list) and all(isinstance(stem, str) for stem in stems)))
        and (bitrate is None or (isinstance(bitrate, int) and not isinstance(bitrate, bool)))
    )


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


def _refuse_empty_stem() -> NoReturn:
    raise InvalidOption("stems holds an empty name")


def _parse_bitrate(value: Any, format_: Format) -> int | None:
    if value in (None, ""):
        return format_.default_bitrate or None
    if not format_.bitrates:
        raise InvalidOption(f"bitrate belongs to {WITH_BITRATES}; {format_.name} has none")
    try:
        bitrate = int(str(value))
    except ValueError:
        bitrate = -1
    if isinstance(value, bool) or bitrate not in format_.bitrates:
        known = ", ".join(map(str, format_.bitrates))
        raise InvalidOption(f"bitrate {str(value)[:20]!r} is unknown; choose one of {known} kb/s")
    return bitrate
