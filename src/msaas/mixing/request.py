"""What a mix is made of: the levels of a song's stems and the choices of output, checked and named. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from msaas.audio.part import Part
from msaas.errors import InvalidOption
from msaas.fields import canonical_json
from msaas.formats import (
    DEFAULT_FORMAT,
    STEMS_FILE,
    Format,
    format_named,
    parse_bit_depth,
    parse_bitrate,
    parse_sample_rate,
    parse_switch,
)
from msaas.options import parse_seconds

MIX_VERSION = 1  # raised when the same request gives other samples
MIN_GAIN_DB, MAX_GAIN_DB = -120.0, 24.0
SILENT = "-inf"
LEVEL_MEMBERS = ("gain_db", "pan", "mute", "solo")
OUTPUT_MEMBERS = ("format", "bitrate", "bit_depth", "sample_rate", "mono", "start", "end")
MEMBERS = ("levels", *OUTPUT_MEMBERS)
CALLBACK = "callback"  # of the request, no part of the mix
DIGITS = 6  # of gains and pans: an error of 10⁻⁶ dB is 138 dB below the stem


@dataclass(frozen=True)
class Level:
    """`pan`: -1 is left, 1 is right."""

    gain_db: float = 0.0
    pan: float = 0.0


@dataclass(frozen=True)
class MixRequest:
    """`levels`: of the stems that are heard; others are silent. The mix's name depends on `to_json`, byte for byte."""

    levels: Mapping[str, Level]
    format: str = DEFAULT_FORMAT
    bitrate: int | None = None
    bit_depth: str | None = None
    sample_rate: int | str | None = None  # None: that of the stems
    mono: bool = False
    start: float | None = None  # seconds, None: from the start
    end: float | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any], stems: Collection[str]) -> MixRequest:
        """`given`: without the callback. `stems`: of the song. Stems without a level are heard as they are.

        Raises InvalidOption.
        """
        _refuse_unknown("", given, MEMBERS, CALLBACK)
        kind = format_named(DEFAULT_FORMAT if given.get("format") in (None, "") else given["format"])
        if kind.name == STEMS_FILE:
            raise InvalidOption(f"a mix is one track: {STEMS_FILE} does not apply")
        start, end = (parse_seconds(name, given.get(name)) for name in ("start", "end"))
        if end is not None and end <= (start or 0.0):
            raise InvalidOption(f"end {end:g} is not after start {start or 0:g}")
        return cls(
            levels=_audible(given.get("levels", {}), stems),
            format=kind.name,
            bitrate=parse_bitrate(given.get("bitrate"), kind),
            bit_depth=parse_bit_depth(given.get("bit_depth"), kind),
            sample_rate=parse_sample_rate(given.get("sample_rate"), kind),
            mono=parse_switch("mono", given.get("mono")),
            start=start or None,
            end=end,
        )

    @classmethod
    def from_fields(cls, data: Mapping[str, Any]) -> MixRequest:
        """Reads `to_fields`, as a record has it. Raises InvalidOption if it is damaged."""
        levels = data.get("levels")
        return cls.parse(data, tuple(levels) if isinstance(levels, Mapping) else ())

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        return canonical_json(self.to_fields())

    @property
    def kind(self) -> Format:
        return format_named(self.format)

    def of_song(self, sample_rate: int, samples: int) -> MixRequest:
        """Without what changes nothing for stems of this rate and length. Raises InvalidOption for an empty part."""
        part = Part(self.start or 0.0, self.end).within(Fraction(0), sample_rate, samples)
        if part.start >= part.stop:
            seconds = samples / sample_rate
            raise InvalidOption(f"the part has no sample: the song ends after {seconds:.6f} seconds")
        is_own_rate = self.sample_rate == (self.kind.only_rate or sample_rate)
        return replace(
            self,
            start=self.start if part.start else None,
            end=self.end if part.stop < samples else None,
            sample_rate=None if is_own_rate else self.sample_rate,
        )

    def name(self, songhash: str) -> str:
        """The mix's ID: the same mix of the same song is the same job."""
        return str(uuid.uuid5(uuid.UUID(songhash), f"mix {self.to_json()} {MIX_VERSION}"))

    def rate(self, stems_rate: int, song_rate: int | None) -> int:
        """What the mix is saved at, in Hz. Raises InvalidOption if its format has no such rate or bit rate."""
        rate = self.kind.only_rate or stems_rate
        if self.sample_rate is not None:
            rate = self.sample_rate if isinstance(self.sample_rate, int) else song_rate or stems_rate
        self.kind.refuse_rate(rate)
        self.kind.refuse_bitrate(rate, self.bitrate or 0)
        return rate


def _audible(given: Any, stems: Collection[str]) -> dict[str, Level]:
    """Levels of the stems that are heard, without mutes and solos: different ways to the same mix give the same."""
    if not isinstance(given, Mapping):
        raise InvalidOption("levels takes an object: stem ▸ {gain_db, pan, mute, solo}")
    for stem in given:
        if stem not in stems:
            raise InvalidOption(f"levels names {stem[:40]!r}; the stems of this song are {', '.join(stems)}")
    all_levels = {stem: _level(stem, given.get(stem, {})) for stem in stems}
    soloed = any(solo for *_, solo in all_levels.values())
    heard = {
        stem: level for stem, (level, mute, solo) in all_levels.items() if level and not mute and (solo or not soloed)
    }
    if not heard:
        raise InvalidOption("every stem of this mix is silent")
    return heard


def _level(stem: str, given: Any) -> tuple[Level | None, bool, bool]:
    """Level (None: silent), mute, solo."""
    if not isinstance(given, Mapping):
        raise InvalidOption(f"the level of {stem} is an object: {{gain_db, pan, mute, solo}}")
    _refuse_unknown(f"levels.{stem}.", given, LEVEL_MEMBERS)
    mute, solo = (parse_switch(f"levels.{stem}.{name}", given.get(name)) for name in ("mute", "solo"))
    pan = _number(f"levels.{stem}.pan", given.get("pan"), -1.0, 1.0)
    if given.get("gain_db") == SILENT:
        return None, mute, solo
    return Level(_number(f"levels.{stem}.gain_db", given.get("gain_db"), MIN_GAIN_DB, MAX_GAIN_DB), pan), mute, solo


def _number(what: str, value: Any, low: float, high: float) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        or_silent = f', or "{SILENT}"' if what.endswith("gain_db") else ""
        raise InvalidOption(f"{what} {str(value)[:20]!r} is not a number from {low:g} to {high:g}{or_silent}")
    return round(float(value), DIGITS) + 0.0  # no -0.0


def _refuse_unknown(where: str, given: Mapping[str, Any], members: Collection[str], *others: str) -> None:
    """`others`: members that are taken, too, but not here."""
    for name in given:
        if name not in members:
            raise InvalidOption(f"unknown member {where}{name[:40]!r}; known are {', '.join((*members, *others))}")
