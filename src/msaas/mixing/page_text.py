"""The mix of the page as a text, as its addresses have it and links keep it: checked, not rendered. Pure.

`mix=vocals:-6:-30:m,drums:0:0:s&loop=12.5-20&tempo=75&pitch=-2&order=bass,drums`: for each stem that is not neutral its
name, decibels, pan in percent, and m (muted) or s (soloed); the loop in seconds; tempo in percent, pitch in semitones;
the first stems. The page writes and reads it in static/js/player/mixes.js.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import unquote

from msaas.errors import InvalidOption

GAIN = (-48.0, 6.0)  # decibels, as in static/js/player/levels.js; the least is silence
PAN = (-100.0, 100.0)  # percent
TEMPO = (50.0, 150.0)  # percent, as in static/js/player/tempo/ranges.js
PITCH = (-12.0, 12.0)  # semitones
NUMBER = r"-?[0-9]{1,5}(?:\.[0-9]{1,5})?"
_LEVEL = re.compile(rf"([^:]+):({NUMBER}):({NUMBER}):(m?)(s?)")
_LOOP = re.compile(rf"({NUMBER})-({NUMBER})")
_NUMBER = re.compile(NUMBER)


def check(text: str, stems: Collection[str], seconds: float | None = None) -> None:
    """Raises InvalidOption, which says what is wrong with which part. `stems`, `seconds`: of the song; None: not known.

    A text that mutes every stem is not refused: the page may show it.
    """
    if not text:
        return
    checks: dict[str, Callable[[str], None]] = {
        "mix": lambda value: _check_levels(value, stems),
        "loop": lambda value: _check_loop(value, seconds),
        "tempo": lambda value: _check_number("tempo=", value, "percent", TEMPO),
        "pitch": lambda value: _check_number("pitch=", value, "semitones", PITCH),
        "order": lambda value: _check_names("order", [_name("order", one) for one in value.split(",")], stems),
    }
    seen: set[str] = set()
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if name not in checks or not equals:
            raise InvalidOption(f"mix: {part[:40]!r} is none of {', '.join(f'{one}=…' for one in checks)}, joined by &")
        if name in seen:
            raise InvalidOption(f"mix: {name}= is there twice")
        seen.add(name)
        checks[name](value)


def _check_levels(value: str, stems: Collection[str]) -> None:
    names = []
    for level in value.split(","):
        found = _LEVEL.fullmatch(level)
        if not found:
            raise InvalidOption(f"mix: {level[:40]!r} is not <stem>:<decibels>:<pan in percent>:<m, s, ms or nothing>")
        stem, gain, percent, _, _ = found.groups()
        names.append(_name("mix", stem))
        _check_names("mix", names, stems)
        _check_number(f"{stem}:", gain, "decibels", GAIN)
        _check_number(f"{stem}:{gain}:", percent, "percent", PAN)


def _check_loop(value: str, seconds: float | None) -> None:
    found = _LOOP.fullmatch(value)
    if not found:
        raise InvalidOption(f"mix: loop={value[:40]} is not two numbers of seconds, as in loop=12.5-20")
    start, end = map(float, found.groups())
    if not 0 <= start < end:
        raise InvalidOption(f"mix: loop={value[:40]} does not end after it begins, or begins before the song")
    if seconds is not None and start >= seconds:
        raise InvalidOption(f"mix: loop={value[:40]} begins after the song, which ends after {seconds:.6f} seconds")


def _check_number(before: str, value: str, unit: str, limits: tuple[float, float]) -> None:
    low, high = limits
    if not _NUMBER.fullmatch(value) or not low <= float(value) <= high:
        raise InvalidOption(f"mix: {before[:80]}{value[:40]} is not a number of {unit} from {low:g} to {high:g}")


def _check_names(part: str, names: list[str], stems: Collection[str]) -> None:
    for name in names:
        if name not in stems:
            raise InvalidOption(f"mix: {part}= names {name[:40]!r}; the stems of this song are {', '.join(stems)}")
    if len(set(names)) != len(names):
        raise InvalidOption(f"mix: {part}= names a stem twice")


def _name(part: str, text: str) -> str:
    """Of a stem, percent-encoded."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidOption(f"mix: {part}= has {text[:40]!r}, which is not percent-encoded UTF-8") from error
