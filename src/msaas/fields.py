"""Reads the text fields of a Redis hash as numbers, times and JSON. Never raises; it lists the broken fields.

Values that are hashed are written by `canonical_json` only.

Anybody with redis-cli can write to a record, and a version that is gone may have. One such field must not take the
job's other fields with it, let alone a list of jobs, a worker or a sweep.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

# 253402300800 is the year 10000, where datetime ends.
MAX_TIME_MS = 253_402_300_799_999
MAX_COUNT = 2**53  # the largest integer that all JSON readers represent exactly
# Records are three levels deep. Beyond some hundreds json.loads reads what json.dumps and others cannot walk.
MAX_DEPTH = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")

_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, no NaN. A lone surrogate, which JSON may hold and UTF-8 may not, becomes its escape."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Fields:
    """A hash as HGETALL gives it. `broken` lists the fields that were asked for and could not be read."""

    def __init__(self, record: Mapping[str, str]) -> None:
        self._record = record
        self.broken: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self._record.get(name, default)

    def count(self, name: str) -> int:
        """An integer from 0; 0 if missing or invalid."""
        return self._whole(name, MAX_COUNT) or 0

    def share(self, name: str) -> float:
        """0 to 1; 0 if missing or invalid."""
        text = self._record.get(name)
        try:
            share = float(text) if text else 0.0
        except ValueError:
            share = math.nan
        if 0 <= share <= 1:
            return share
        self.broken.append(name)
        return 0.0

    def amount(self, name: str) -> float | None:
        """A number from 0; None if missing or invalid."""
        try:
            return number_of(float(self._record.get(name) or "nan"))
        except ValueError:
            return None

    def seconds(self, name: str) -> float | None:
        """A time, stored in milliseconds since 1970, in seconds; None if missing or invalid."""
        ms = self._whole(name, MAX_TIME_MS)
        return None if ms is None else ms / 1000

    def milliseconds(self, name: str) -> int | None:
        return self._whole(name, MAX_TIME_MS)

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        """A JSON object; None if missing or invalid."""
        text = self._record.get(name)
        if not text:
            return None
        try:
            value = json_object(text)
        except ValueError:
            self.broken.append(name)
            return None
        return value

    def _whole(self, name: str, limit: int) -> int | None:
        text = self._record.get(name)
        if not text:
            return None
        if text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= limit:
            return int(text)
        self.broken.append(name)
        return None


def json_object(text: str) -> dict[str, Any]:
    """A JSON object that can be written as JSON again: no NaN, no infinity, no half of a surrogate pair, MAX_DEPTH
    levels at most.

    Raises ValueError.
    """
    value = json_value(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    _refuse_deep(value)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def json_value(text: str) -> Any:
    """Any JSON value without NaN and infinity. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [member for one in level for member in _members(one)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is larger than a number may be")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def code_of(value: Any, otherwise: str) -> str:
    """A JSON member that should be a code for programs; `otherwise` if invalid."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else otherwise


def decimal(text: str) -> float:
    """A number in ASCII digits, as JSON and forms write it. Raises ValueError for what else Python reads as one."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a number")
    return float(text)


def number_of(value: Any) -> float | None:
    """A JSON member that should be a number from 0; None if invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_COUNT:
        return None
    return value
