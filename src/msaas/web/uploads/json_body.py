"""Splits the JSON body `{"mp3": base64, …}` without holding the song's text in memory. Reads files only.

It locates the song's string first; the rest must be small, and is parsed by the json module.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import IO, Any, NoReturn

from msaas.errors import BadRequest
from msaas.web.uploads.base64_stream import Base64Decoder

REST_LIMIT_BYTES = 1_000_000
ADDRESS = "url"
UPLOAD = "upload"  # the ID of an upload in parts
WINDOW_BYTES = 1 << 20
MAX_DIGITS = 309  # of a whole number: as many as the largest double has

# Possessive quantifiers, so that no input causes backtracking: time and memory stay bounded.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.DOTALL)
_INSIDE_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_STRING_VALUE = re.compile(rb'[ \t\r\n]*+:[ \t\r\n]*+"')
_NESTING = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_MAX_KEY = len(rb'"\u006d\u0070\u0033"')


@dataclass(frozen=True)
class SongText:
    """The position of the base64 text in the file: offsets of its first byte and of its closing quote."""

    start: int
    end: int


def split_body(file: IO[bytes]) -> tuple[dict[str, Any], SongText | None]:
    """The members other than `mp3`, and the position of `mp3`; None for a song by address (`url`) or an `upload`.

    Raises BadRequest: bad_json, missing_mp3, bad_base64.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(REST_LIMIT_BYTES)
    start = song_start(head)
    if start is None:
        return _by_reference(head, size), None
    end = _string_end(file, start)
    members = parse_members(head[:start] + _tail(file, start, end, size))
    del members["mp3"]
    _refuse_several(members, "mp3")
    return members, SongText(start, end)


def song_start(head: bytes) -> int | None:
    """The offset after the opening quote of the top-level `mp3` string; None if it is not in `head`."""
    depth = 0
    for match in _TOKEN.finditer(head):
        token = match[0]
        if token == b'"':  # a string that does not end here: the rest is inside it
            return None
        depth += _NESTING.get(token, 0)
        if depth == 1 and _is_mp3(token) and (value := _STRING_VALUE.match(head, match.end())):
            return value.end()
    return None


def _is_mp3(token: bytes) -> bool:
    if len(token) > _MAX_KEY or token[:1] != b'"':
        return False
    try:
        return bool(json.loads(token) == "mp3")
    except ValueError:
        return False


def _string_end(file: IO[bytes], start: int) -> int:
    position = start
    while True:
        file.seek(position)
        window = file.read(WINDOW_BYTES)
        stop = _inside(window)
        if window[stop : stop + 1] == b'"':
            return position + stop
        if stop == 0:
            raise BadRequest("the JSON ends within `mp3`; the upload may be truncated", code="bad_json")
        position += stop


def _inside(window: bytes) -> int:
    """The length of the part of `window` that is still inside the string."""
    if b"\\" not in window:  # the usual case: a plain search is twenty times faster
        quote = window.find(b'"')
        return len(window) if quote < 0 else quote
    inside = _INSIDE_STRING.match(window)
    return inside.end() if inside else 0


def _tail(file: IO[bytes], start: int, end: int, size: int) -> bytes:
    if start + size - end > REST_LIMIT_BYTES:
        raise BadRequest(f"the JSON besides `mp3` exceeds the limit of {REST_LIMIT_BYTES} bytes", code="bad_json")
    file.seek(end)
    return file.read(size - end)


def _by_reference(head: bytes, size: int) -> dict[str, Any]:
    """The members of a body with `url` or `upload`, and without `mp3`. Raises BadRequest."""
    members = parse_members(head) if size <= len(head) else {}
    if not {ADDRESS, UPLOAD} & members.keys() or "mp3" in members:
        _refuse_songless(head, size)
    _refuse_several(members)
    return members


def _refuse_several(members: dict[str, Any], *more: str) -> None:
    found = [*more, *(name for name in (ADDRESS, UPLOAD) if name in members)]
    if len(found) > 1:
        raise BadRequest(f"the JSON has both `{found[0]}` and `{found[1]}`; send one of them", code="bad_json")


def _refuse_songless(head: bytes, size: int) -> NoReturn:
    if size > len(head):
        raise BadRequest(
            f"no `mp3` string starts within the first {len(head)} bytes of the JSON; check the name of the member",
            code="missing_mp3",
        )
    if parse_members(head).get("mp3") is None:
        raise BadRequest(
            "the JSON has neither `mp3` (the song in base64) nor `url` (its address) nor `upload` (an upload's ID)",
            code="missing_mp3",
        )
    raise BadRequest("`mp3` is not a string; it must be the song in base64", code="bad_base64")


def parse_members(text: bytes, hint: str = 'send {"mp3": …}') -> dict[str, Any]:
    """Parses a JSON object strictly: UTF-8, no NaN, no duplicate key. Raises BadRequest(bad_json), with the hint for
    another value."""
    try:
        members = strict_json(text.decode("utf-8-sig"))
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", code="bad_json") from error
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}", code="bad_json") from error
    if not isinstance(members, dict):
        raise BadRequest(f"the JSON is not an object; {hint}", code="bad_json")
    return members


def strict_json(text: str) -> Any:
    """JSON according to RFC 8259: no NaN, no number beyond a double's range, no duplicate key. Raises ValueError."""
    return json.loads(
        text,
        object_pairs_hook=_without_duplicates,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_whole,
    )


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text[:20]} is too large")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"duplicate key {twice[:40]!r}")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def decode_song(file: IO[bytes], text: SongText, write: Callable[[bytes], object]) -> None:
    """Decodes the song's text to `write`, a window at a time. Raises BadRequest, and what `write` raises."""
    decoder = Base64Decoder()
    file.seek(text.start)
    left = text.end - text.start
    while left:
        piece = file.read(min(left, WINDOW_BYTES))
        left -= len(piece)
        write(decoder.feed(piece))
    decoder.finish()
