"""Every script on keys that somebody damaged: one that fails has changed nothing, and no script loses a job.

Redis rolls nothing back. So the test is generated: each move, with each key that it may touch replaced, deleted or
filled with nonsense, field by field. What is in lists and records is counted before and after.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis

from msaas.auth.quotas import Quotas
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.schedule import Verdict
from msaas.errors import Conflict, QueueUnavailable, QuotaExceeded
from msaas.queue import DEAD, FENCE, LEASES, PACE, PROCESSING, WAITING, Admission, Claim, Queue
from msaas.queue.audio_length import AudioLength

SHARED = (WAITING, PROCESSING, LEASES, DEAD, "callbacks")
ENDED = (b"done", b"failed", b"cancelled")
INVALID = (
    b"",
    b"abc",
    b"nan",
    b"inf",
    b"-1",
    b"0.5",
    b"1e400",
    b"9223372036854775807",
    b"\xff\xfe",
    b"9" * 400,
    b'{"duration_seconds": 1e300}',
    b"null",
)
# Every fourth damage: all of them (DAMAGE_EVERY=1) take ten minutes of a core.
EVERY = int(os.environ.get("DAMAGE_EVERY", "4"))
ORDERED_HASHES = {"hash-max-listpack-entries": 1000, "hash-max-listpack-value": 1_000_000}
ACCOUNT = "key anna"
AUDIO = AudioLength(60, 90)
TERMS = Admission(1000, ACCOUNT, 1000, AUDIO.declared_seconds, AUDIO.max_seconds, 100_000)
COUNTS = (b"quota:", b"callbacks:open:", b"callbacks:bytes")
BY_CALLER = ("quota:", "callbacks:", "toWorkers:order", "toWorkers:turns")

Damage = tuple[str, Callable[[Any], object]]


def songhash(number: int) -> str:
    return str(uuid.UUID(int=number))


QUEUED, RUNNING, LOST, DONE, FAILED, CANCELLED, OLD, NEW = map(songhash, range(1, 9))
JOBS = (QUEUED, RUNNING, LOST, DONE, FAILED, CANCELLED, OLD)


@dataclass
class World:
    """One job in each state, with callbacks and an account that was charged; kept as Redis' own dumps."""

    redis: Any  # answers with bytes
    queue: Queue
    outbox: Outbox
    quotas: Quotas
    running: Claim
    taken: Any
    dumps: dict[bytes, bytes]

    def restore(self) -> None:
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.flushdb()
            for key, dump in self.dumps.items():
                pipe.restore(key, 0, dump)
            pipe.execute()

    def dump(self) -> dict[bytes, bytes]:
        keys = sorted(self.redis.keys("*"))
        with self.redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.dump(key)
            return dict(zip(keys, pipe.execute(), strict=True))

    def differing(self, dumps: dict[bytes, bytes]) -> list[bytes]:
        now = self.dump()
        return [key for key in now.keys() | dumps.keys() if now.get(key) != dumps.get(key)]


def posting(name: str) -> tuple[str, ...]:
    return (f"msg_{name}", f"digest-{name}", "https://example.org/done", "{}", "https://example.org:443")


@pytest.fixture
def world(redis: Any, valkey: Any) -> Iterator[World]:
    queue = Queue(redis, lease_seconds=30, max_attempts=3)
    outbox, quotas = Outbox(redis, lease_seconds=30), Quotas(redis, posts_per_minute=50, audio_minutes=1000)
    record = {"model": "m", "options": "{}", "upload": "{}"}
    claims = {}
    for name in (OLD, DONE, FAILED, CANCELLED, LOST, RUNNING, QUEUED):
        queue.submit(name, record, callback=posting(name), admission=TERMS)
        if name != QUEUED:
            claims[name] = queue.claim("worker")
    for name in (DONE, OLD):
        assert queue.finish(claims[name], {"stems": {}, "duration_seconds": 3}, 3)
    assert queue.fail(claims[FAILED], {"code": "x", "detail": "y"}, retry=False) == "failed"
    queue.cancel(CANCELLED)
    redis.zadd(LEASES, {LOST: 1})
    redis.hset(f"job:{OLD}", "finished_ms", "1")
    quotas.take(ACCOUNT, "posts")
    (taken,) = outbox.take(1, limit=5)
    raw = Redis(**{k: redis.connection_pool.connection_kwargs[k] for k in ("host", "port")})
    found = World(raw, queue, outbox, quotas, claims[RUNNING], taken, {})
    for name, value in ORDERED_HASHES.items():  # equal hashes have equal dumps
        raw.config_set(name, value)
    found.dumps = found.dump()
    yield found
    raw.close()


def overtake(world: World) -> object:
    """A song of a loaded model comes later, and is claimed first."""
    world.queue.submit(NEW, {"model": "loaded"}, admission=TERMS)
    return world.queue.claim("other worker", ("m", "loaded"), loaded=("loaded",), max_overtaking=2)


MOVES: dict[str, tuple[tuple[str, ...], Callable[[World], object]]] = {
    # name ▸ the songs it is about, and the move
    "submit new": ((NEW,), lambda w: w.queue.submit(NEW, {"model": "m"}, callback=posting("n"), admission=TERMS)),
    "submit queued": ((QUEUED,), lambda w: w.queue.submit(QUEUED, {}, callback=posting("n"), admission=TERMS)),
    "submit done": ((DONE,), lambda w: w.queue.submit(DONE, {}, callback=posting("n"), admission=TERMS)),
    "submit without stems": ((DONE,), lambda w: w.queue.submit(DONE, {}, stems_missing=True, admission=TERMS)),
    "submit failed": ((FAILED,), lambda w: w.queue.submit(FAILED, {}, callback=posting("n"), admission=TERMS)),
    "claim": ((QUEUED,), lambda w: w.queue.claim("other worker")),
    "claim past a song": ((QUEUED, NEW), lambda w: overtake(w)),
    "renew": ((RUNNING,), lambda w: w.queue.renew(w.running, {"stage": "separating", "progress": "0.5"})),
    "finish": ((RUNNING,), lambda w: w.queue.finish(w.running, {"stems": {}}, 3)),
    "fail for good": ((RUNNING,), lambda w: w.queue.fail(w.running, {"code": "x"}, retry=False)),
    "fail and retry": ((RUNNING,), lambda w: w.queue.fail(w.running, {"code": "x"}, retry=True)),
    "release": ((RUNNING,), lambda w: w.queue.release(w.running)),
    "reap": ((LOST, RUNNING), lambda w: w.queue.reap()),
    "cancel queued": ((QUEUED,), lambda w: w.queue.cancel(QUEUED)),
    "cancel running": ((RUNNING,), lambda w: w.queue.cancel(RUNNING)),
    "replay": ((FAILED,), lambda w: w.queue.replay(FAILED)),
    "repair queued": ((QUEUED,), lambda w: w.queue.repair()),
    "repair running": ((RUNNING,), lambda w: w.queue.repair()),
    "retire": ((OLD,), lambda w: w.queue.retire(OLD, 3600)),
    "retire unrecorded": ((NEW,), lambda w: w.queue.retire(NEW)),
    "count a call": ((), lambda w: w.quotas.take(ACCOUNT, "posts")),
    "room for audio": ((QUEUED,), lambda w: w.quotas.audio_room(ACCOUNT, AUDIO)),
    "charge a call": ((), lambda w: w.quotas.charge_computing(ACCOUNT, 1.0)),
    "adopt callbacks": ((DONE, FAILED, OLD), lambda w: w.outbox.adopt()),
    "take callbacks": ((DONE, FAILED, OLD), lambda w: w.outbox.take(5, limit=5)),
    "settle a callback": ((OLD,), lambda w: w.outbox.settle(w.taken, Verdict("pending", 5), "no")),
    "end a callback": ((OLD,), lambda w: w.outbox.settle(w.taken, Verdict("failed", 0), "no")),
    "replay a callback": ((OLD,), lambda w: w.outbox.replay(w.taken.id)),
}
# on keys that are whole
UNCHANGED = ("room for audio", "repair queued", "repair running", "retire unrecorded", "adopt callbacks")
RETIRING = {"retire": OLD, "retire unrecorded": NEW}


def is_about(key: str, songs: tuple[str, ...]) -> bool:
    shared = (*SHARED, FENCE, PACE)
    return key in shared or key.startswith(BY_CALLER) or any(song in key for song in songs)


def damages(world: World, songs: tuple[str, ...], values: tuple[bytes, ...]) -> Iterator[Damage]:
    for raw_key in world.dumps:
        key = raw_key.decode()
        if not is_about(key, songs):
            continue
        kind = world.redis.type(raw_key).decode()
        yield f"{key} missing", lambda r, k=key: r.delete(k)
        yield f"{key} of another type", lambda r, k=key, t=kind: overwrite(r, k, t)
        yield from inside(world.redis, key, kind, values)


def overwrite(redis: Any, key: str, kind: str) -> None:
    redis.delete(key)
    if kind == "string":
        redis.rpush(key, "junk")
    else:
        redis.set(key, "junk")


def inside(redis: Any, key: str, kind: str, values: tuple[bytes, ...]) -> Iterator[Damage]:
    if kind == "hash":
        for field in redis.hkeys(key):
            yield f"{key} without {field!r}", lambda r, k=key, f=field: r.hdel(k, f)
            for value in values:
                yield f"{key} {field!r} {value[:20]!r}", lambda r, k=key, f=field, v=value: r.hset(k, f, v)
        yield f"{key} with 5000 fields", lambda r, k=key: r.hset(k, mapping={f"f{n}": n for n in range(5000)})
        yield f"{key} with an odd field", lambda r, k=key: r.hset(k, b"\xff", b"\xff")
    elif kind == "list":
        for value in values:
            yield f"{key} led by {value[:20]!r}", lambda r, k=key, v=value: r.lpush(k, v)
    elif kind == "zset":
        for member in redis.zrange(key, 0, -1):
            for score in ("-inf", "+inf", 1):
                yield f"{key} {member!r} at {score}", lambda r, k=key, m=member, s=score: r.zadd(k, {m: s})
        for value in values:
            yield f"{key} with {value[:20]!r}", lambda r, k=key, v=value: r.zadd(k, {v: 1})
    else:
        for value in values:
            yield f"{key} is {value[:20]!r}", lambda r, k=key, v=value: r.set(k, v)


@dataclass(frozen=True)
class Count:
    """What is in lists and records; None for a key that is of another type."""

    waiting: list[bytes] | None
    processing: list[bytes] | None
    dead: list[bytes] | None
    leases: list[bytes] | None
    states: dict[str, bytes | None]
    callbacks: set[bytes]  # ids of those that are still to be called and whose record is there

    def place_of(self, name: str) -> str:
        """Where a job stands: '' for nowhere. A job that has ended needs no list."""
        entry = name.encode()
        lists = (("waiting", self.waiting), ("processing", self.processing), ("leases", self.leases))
        for place, entries in (*lists, ("dead", self.dead)):
            if entries is not None and entry in entries:
                return place
        return "ended" if self.states.get(name) in ENDED else ""


WAITING_CALLBACKS = b"callbacks:waiting:"  # hashes; of the other hashes one field counts
FIELDS = {b"job:": "state", b"callback:": "url"}
COUNTED = (*(key.encode() for key in (WAITING, PROCESSING, DEAD, LEASES, "callbacks")), *FIELDS)  # names begin so


def count(redis: Any) -> Count:
    """In three round trips: this is called twice for each of thousands of damages."""
    keys = [key for key in redis.keys("*") if key.startswith(COUNTED)]
    with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
        kinds = dict(zip(keys, pipe.execute(), strict=True))
        readable = [key for key in keys if _read(pipe, key, kinds[key])]
        found = dict(zip(readable, pipe.execute(), strict=True))

    def of(kind: bytes, key: bytes, missing: Any = ()) -> Any:
        """What the key holds; `missing` if it is not there, None if it is of another type."""
        if key not in kinds:
            return missing
        return found.get(key) if kinds[key] == kind else None

    waiting, processing, dead = (of(b"list", key.encode(), []) for key in (WAITING, PROCESSING, DEAD))
    leases = of(b"zset", LEASES.encode(), [])
    states = {name: of(b"hash", f"job:{name}".encode(), None) for name in JOBS}
    ids = set(of(b"zset", b"callbacks") or ())
    for key in keys:
        if key.startswith(WAITING_CALLBACKS):
            ids |= set(of(b"hash", key) or ())
    return Count(waiting, processing, dead, leases, states, {one for one in ids if of(b"hash", b"callback:" + one)})


def _read(pipe: Any, key: bytes, kind: bytes) -> bool:
    """Asks for what counts of the key. False: for nothing."""
    match kind:
        case b"list":
            pipe.lrange(key, 0, -1)
        case b"zset":
            pipe.zrange(key, 0, -1)
        case b"hash" if key.startswith(WAITING_CALLBACKS):
            pipe.hvals(key)
        case b"hash" if fields := [field for prefix, field in FIELDS.items() if key.startswith(prefix)]:
            pipe.hget(key, fields[0])
        case _:
            return False
    return True


def check(world: World, name: str, damage: Damage) -> str:
    """What is wrong with the move on the damaged keys; '' for nothing."""
    what, do = damage
    world.restore()
    do(world.redis)
    dumps, before = world.dump(), count(world.redis)
    try:
        MOVES[name][1](world)
    except (QueueUnavailable, Conflict, QuotaExceeded) as error:
        changed = world.differing(dumps)
        if isinstance(error, QuotaExceeded):  # counts out what is open no more, and is refused all the same
            changed = [key for key in changed if not key.startswith(COUNTS)]
        if changed:
            return f"{name}, {what}: it failed and has changed {changed} ({error})"
        shared = what.removesuffix(" of another type") in SHARED
        return "" if shared or isinstance(error, Conflict | QuotaExceeded) else f"{name}, {what}: it failed ({error})"
    after = count(world.redis)
    lost = [one for one in JOBS if before.place_of(one) and not after.place_of(one) and one != RETIRING.get(name)]
    silent = before.callbacks - after.callbacks - called(world, before.callbacks)
    return f"{name}, {what}: lost {lost} {silent}" if lost or silent else ""


def called(world: World, ids: set[bytes]) -> set[bytes]:
    """Those whose record says that they have ended."""
    states = {one: world.redis.hget(b"callback:" + one, "state") for one in ids}
    return {one for one, state in states.items() if state in (b"failed", b"delivered", b"refused")}


def faults(world: World, name: str, values: tuple[bytes, ...], every: int = 1) -> str:
    """Of every so many damages, and of those to what all jobs share."""
    world.restore()
    found = list(damages(world, MOVES[name][0], values))
    chosen = [one for at, one in enumerate(found) if at % every == 0 or one[0].split()[0] in (WAITING, FENCE)]
    assert chosen, "nothing was damaged"
    return "\n".join(filter(None, (check(world, name, damage) for damage in chosen)))


def test_the_moves_work_on_keys_that_are_whole(world):
    for name, (_, move) in MOVES.items():
        world.restore()
        dumps = world.dump()
        move(world)
        assert world.dump() != dumps or name in UNCHANGED, name


@pytest.mark.parametrize("name", MOVES)
def test_no_damaged_key_makes_a_script_lose_a_job(world, name):
    assert not faults(world, name, INVALID[1:2], every=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVES)
def test_no_nonsense_in_any_field_makes_a_script_lose_a_job(world, name):
    assert not faults(world, name, INVALID, every=EVERY)


def test_every_script_is_tried():
    tried = set(itertools.chain.from_iterable(name.split() for name in MOVES))
    assert {"submit", "claim", "renew", "finish", "fail", "release", "reap", "cancel", "replay", "retire"} <= tried
