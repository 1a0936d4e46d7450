"""What can be wrong with a key in Redis: each field and entry missing, empty, huge, no number, of another shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

NESTED = 900  # levels: json.loads takes them, json.dumps may not

TEXTS: dict[str, bytes] = {
    "empty": b"",
    "blank": b" ",
    "a word": b"abc",
    "not UTF-8": b"\xff\xfe\x00",
    "huge": b"x" * 1_000_000,
    "lines": b"one\ntwo\r\nthree\x1b[31m",
    "nan": b"nan",
    "NaN": b"NaN",
    "infinity": b"inf",
    "negative": b"-1",
    "a fraction": b"0.5",
    "beyond a float": b"1e400",
    "the largest integer": b"9223372036854775807",
    "400 digits": b"9" * 400,
    "5000 digits": b"9" * 5000,
    "null": b"null",
    "a list": b"[]",
    "a list of numbers": b"[1, 2]",
    "a text": b'"x"',
    "an object": b"{}",
    "an object of another shape": b'{"a": {"b": [null]}}',
    "deep": b'{"a":' * NESTED + b"1" + b"}" * NESTED,
    "deeper": b"[" * 100_000,
    "half a character": b'{"a": "\\ud800"}',
    "a path": b"../../etc/passwd",
    "another state": b"running",
    "an unknown state": b"exploded",
}
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "negative": -1,
    "beyond time": 1e300,
    "400 digits": int("9" * 400),
    "a text": "x",
    "an empty text": "",
    "a path": "../x",
    "a number": 7,
    "a list": [1, None, "x"],
    "a list of objects": [{"code": 1}, {}],
    "an object": {"a": {"b": []}},
    "deep": json.loads(TEXTS["deep"]),
    "huge": "x" * 300_000,
}
WRONG_TYPES: dict[str, Callable[[Any, str], object]] = {
    "string": lambda redis, key: redis.set(key, b"junk"),
    "list": lambda redis, key: redis.rpush(key, b"junk"),
    "hash": lambda redis, key: redis.hset(key, b"junk", b"junk"),
    "zset": lambda redis, key: redis.zadd(key, {b"junk": 1}),
    "set": lambda redis, key: redis.sadd(key, b"junk"),
}


@dataclass(frozen=True)
class Damage:
    """One change to one key."""

    key: str
    what: str
    do: Callable[[Any], object]

    def __str__(self) -> str:
        return f"{self.key} {self.what}"


def damages(redis: Any, key: str) -> Iterator[Damage]:
    """All that this module can do to a key. `redis` answers with bytes."""
    kind = redis.type(key).decode()
    yield Damage(key, "is missing", lambda r: r.delete(key))
    for other, write in WRONG_TYPES.items():
        if other != kind:
            yield Damage(key, f"is a {other}", lambda r, w=write: (r.delete(key), w(r, key)))
    kinds = {"hash": _of_hash, "list": _of_list, "zset": _of_zset, "set": _of_set, "string": _of_string}
    yield from kinds[kind](redis, key)


def _of_hash(redis: Any, key: str) -> Iterator[Damage]:
    for field, value in redis.hgetall(key).items():
        name = field.decode("utf-8", "replace")
        yield Damage(key, f"has no {name}", lambda r, f=field: r.hdel(key, f))
        for what, text in [*TEXTS.items(), *_reshaped(value)]:
            yield Damage(key, f"has {what} as {name}", lambda r, f=field, t=text: r.hset(key, f, t))
    yield Damage(key, "has a field that is not UTF-8", lambda r: r.hset(key, b"\xff", b"\xff"))
    yield Damage(key, "has 5000 more fields", lambda r: r.hset(key, mapping={f"f{n}": n for n in range(5000)}))


def _of_list(redis: Any, key: str) -> Iterator[Damage]:
    for at in range(redis.llen(key)):
        for what, text in TEXTS.items():
            yield Damage(key, f"has {what} as entry {at}", lambda r, a=at, t=text: r.lset(key, a, t))
    for what, text in TEXTS.items():
        yield Damage(key, f"begins with {what}", lambda r, t=text: r.lpush(key, t))
        yield Damage(key, f"ends with {what}", lambda r, t=text: r.rpush(key, t))
    yield Damage(key, "has each entry twice", lambda r: r.rpush(key, *r.lrange(key, 0, -1)))


def _of_zset(redis: Any, key: str) -> Iterator[Damage]:
    for member in redis.zrange(key, 0, -1):
        name = member.decode("utf-8", "replace")
        for score in ("-inf", "+inf", "0", "-1", "1e300"):
            yield Damage(key, f"has {name} at {score}", lambda r, m=member, s=score: r.zadd(key, {m: s}))
        yield Damage(key, f"lacks {name}", lambda r, m=member: r.zrem(key, m))
    for what, text in TEXTS.items():
        yield Damage(key, f"holds {what}", lambda r, t=text: r.zadd(key, {t: 1}))


def _of_set(redis: Any, key: str) -> Iterator[Damage]:
    for member in redis.smembers(key):
        yield Damage(key, f"lacks {member.decode('utf-8', 'replace')}", lambda r, m=member: r.srem(key, m))
    for what, text in TEXTS.items():
        yield Damage(key, f"holds {what}", lambda r, t=text: r.sadd(key, t))


def _of_string(_redis: Any, key: str) -> Iterator[Damage]:
    for what, text in TEXTS.items():
        yield Damage(key, f"is {what}", lambda r, t=text: r.set(key, t))


def _reshaped(value: bytes) -> Iterator[tuple[str, bytes]]:
    """A field that is a JSON object, with each member in turn replaced, at any depth."""
    try:
        whole = json.loads(value)
    except ValueError:
        return
    for path in _paths(whole):
        for what, other in VALUES.items():
            shown = ".".join(map(str, path))
            yield f"{what} at {shown} in", json.dumps(_replaced(whole, path, other)).encode()
        yield f"nothing at {'.'.join(map(str, path))} in", json.dumps(_replaced(whole, path, _GONE)).encode()


_GONE = object()


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*above, name)
        yield from _paths(member, (*above, name))


def _replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    name, *rest = path
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = {at: _replaced(member, tuple(rest), other) if at == name else member for at, member in pairs}
    kept = {at: member for at, member in found.items() if member is not _GONE}
    return kept if isinstance(value, dict) else list(kept.values())
