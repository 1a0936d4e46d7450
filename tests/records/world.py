"""A service with a job in each state, callbacks, workers, quotas and what is stored; damaged, used, and made again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask import Flask
from redis import Redis

from msaas.audio.decode.probe import Probe
from msaas.auth.keys import new_key
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.schedule import Verdict
from msaas.queue import LEASES, MIX_KEYS, Claim, Queue
from msaas.queue.worker_registry import Worker
from msaas.settings import Settings
from msaas.settings.networks import parse_networks
from msaas.storage import INPUTS, OUTPUTS, WAVEFORMS, Storage
from msaas.wiring.api import build_app
from tests.records.damages import Damage, damages

MODEL = "htdemucs_mini"
STEMS = ("drums", "bass", "other", "vocals")
# The first is what others have to be served of, and the last of those that wait is to be separated.
WHOLE, WAITING = "whole", "waiting"
NAMES = (WHOLE, "done", "failed", "dead", "cancelled", "old", "lost", "running", "queued", WAITING)
RESULT = {
    "stems": dict.fromkeys(STEMS, "mp3"),
    "duration_seconds": 2.0,
    "analysis": {
        "loudness": {"integrated_lufs": -14.2, "true_peak_dbtp": -0.3},
        "tempo": {"bpm": 112.0, "confidence": 0.6, "first_beat_seconds": 0.5},
        "key": {"name": "D major", "confidence": 0.5, "tuning_cents": 0},
    },
    "gain": 0.9,
    "warnings": [{"code": "downmixed", "detail": "six channels"}],
    "model": {"name": MODEL, "sources": list(STEMS), "sample_rate": 44100},
    "timings": {"total": 1.5},
    "message": "",
}
MIXED = {"stems": {"mix": "wav"}, "duration_seconds": 2.0, "mix": {"gain_db": -1.5, "true_peak_dbtp": 1.5}}
DRAWING = {"version": 1, "sample_rate": 44100, "total_samples": 10, "done_samples": 10, "stems": {}}
# Thousands of worlds are made anew: none has to survive a crash, and equal hashes have equal dumps.
QUICK = {"appendfsync": "no", "hash-max-listpack-entries": 1000, "hash-max-listpack-value": 1_000_000}


def song_of(name: str) -> bytes:
    """What the stub in place of the separation process is to do."""
    return json.dumps({"do": "separate", "name": name, "seconds": 0}).encode()


def look_at(path: Path) -> Probe:
    return Probe(container="wav", codec="pcm_s16le", sample_rate=8000, channels=1, duration_seconds=2.0)


@dataclass
class World:
    """`songs`: name ▸ songhash."""

    app: Flask
    settings: Settings
    queue: Queue
    storage: Storage
    outbox: Outbox
    raw: Any  # answers with bytes
    keys: dict[str, str]
    songs: dict[str, str]
    dumps: dict[bytes, bytes]
    callback_ids: list[str]
    folder: Path
    mixes: Queue = field(init=False)
    owners: dict[str, str] = field(default_factory=dict)  # key of a callback ▸ songhash

    def __post_init__(self) -> None:
        self.mixes = Queue(self.queue.redis, keys=MIX_KEYS)

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[who]}"}

    # --- made anew

    def restore(self) -> None:
        now_ms = int(time.time() * 1000)
        with self.raw.pipeline(transaction=False) as pipe:
            pipe.flushdb()
            for key, dump in self.dumps.items():
                pipe.restore(key, 0, dump)
            pipe.zadd(LEASES, {self.songs["running"]: now_ms + 600_000})
            pipe.execute()
        self.stock()

    def stock(self) -> None:
        """Puts back what was deleted from the store."""
        there = {bucket: {item.name for item in self.storage.names(bucket)} for bucket in (INPUTS, OUTPUTS, WAVEFORMS)}
        path = self.folder / "object"
        for name, songhash in self.songs.items():
            if f"{songhash}.mp3" not in there[INPUTS]:
                path.write_bytes(song_of(name))
                self.storage.put_input(songhash, path)
            if name in (WHOLE, "done", "old"):
                self._stock_stems(songhash, there, path)

    def _stock_stems(self, songhash: str, there: dict[str, set[str]], path: Path) -> None:
        path.write_bytes(b"a stem")
        for name in (f"{songhash}-{stem}.mp3" for stem in STEMS):
            if name not in there[OUTPUTS]:
                self.storage.put_stem(name, path)
        if f"{songhash}.json" not in there[WAVEFORMS]:
            self.storage.put_waveforms(songhash, json.dumps(DRAWING).encode())

    # --- damaged

    def is_whole(self, key: str) -> bool:
        """Of the two songs that are never damaged."""
        return any(self.songs[name] in key for name in (WHOLE, WAITING))

    def songhash_in(self, key: str) -> str:
        """Of the callback with this key, as it was before any damage."""
        return self.owners.get(key, "")

    def private(self) -> list[Damage]:
        """Damage to what belongs to one job, one callback: it must not be felt elsewhere."""
        keys = [key.decode() for key in self.dumps if key.startswith((b"job:", b"callback:", b"callbacks:of:"))]
        keys += [key.decode() for key in self.dumps if key.startswith((b"callbacks:waiting:", b"held:", b"retiring:"))]
        return [damage for key in sorted(keys) if not self.is_whole(key) for damage in damages(self.raw, key)]

    def shared(self) -> list[Damage]:
        private = {damage.key for damage in self.private()}
        keys = sorted(key.decode() for key in self.dumps)
        keys = [key for key in keys if key not in private and not self.is_whole(key)]
        return [damage for key in keys for damage in damages(self.raw, key)]


def world(valkey: Any, settings: Settings, queue: Queue, storage: Storage, folder: Path) -> Iterator[World]:
    keys = {"anna": new_key("anna", ["use"]), "boss": new_key("boss", ["admin"])}
    settings = replace(
        settings,
        api_keys=tuple(key for _, key in keys.values()),
        rate_limit_per_minute=10**6,
        daily_audio_minutes=10.0**6,
        retention_hours=1.0,
        callback_allow=parse_networks("127.0.0.0/8"),
        debug_endpoints=False,  # a call that empties the store leaves nothing to ask for
    )
    app = build_app(settings, queue=queue, storage=storage, probe=look_at)
    raw = Redis("127.0.0.1", valkey.port)
    for name, value in QUICK.items():
        raw.config_set(name, value)
    texts = {who: text for who, (text, _) in keys.items()}
    made = World(app, settings, queue, storage, Outbox(queue.redis), raw, texts, {}, {}, [], folder)
    _fill(made)
    made.dumps = {key: raw.dump(key) for key in sorted(raw.keys("*"))}
    made.stock()
    yield made
    raw.config_set("appendfsync", "always")
    raw.close()


def _fill(world: World) -> None:
    client = world.app.test_client()
    callback = json.dumps({"url": "http://127.0.0.1:9/hook", "data": {"order": 17}})
    world.queue.publish_model(MODEL, RESULT["model"])  # type: ignore[arg-type]
    claims: dict[str, Claim] = {}
    for name in NAMES:
        answer = client.post(
            "/apiv1/separate",
            query_string={"callback": callback},
            data=song_of(name),
            content_type="audio/wav",
            headers=world.headers("anna"),
        )
        assert answer.status_code == 202, answer.json
        world.songs[name] = answer.json["songhash"]
        if name not in ("queued", WAITING):
            claim = world.queue.claim("host-1-abc")
            assert claim is not None
            claims[name] = claim
    _end(world, claims)
    world.stock()
    for name, format_ in (("mix", "wav"), ("mixed", "flac")):
        path = f"/apiv1/jobs/{world.songs['done']}/mix"
        answer = client.post(path, json={"format": format_}, headers=world.headers("anna"))
        assert answer.status_code == 202, answer.json
        world.songs[name] = answer.json["songhash"]
    mixed = world.mixes.claim("host-1-abc")
    assert mixed is not None
    assert world.mixes.finish(mixed, MIXED, 2.0)
    world.queue.announce(Worker("host-1-abc", (MODEL,)))
    world.queue.announce(Worker("host-2-def", (), "the disk is full", "scratch_full"))
    _keep(world.raw)
    known = list(world.outbox.all())
    world.callback_ids = sorted(one.id for one in known)
    world.owners = {f"callback:{one.id}": one.songhash for one in known}


def _keep(raw: Any) -> None:
    """Locks, windows and workers' words stay good however long the test takes."""
    for key in raw.keys("*"):
        raw.persist(key)
    for worker, told in raw.hgetall("workers").items():
        raw.hset("workers", worker, b"9" * 13 + b" " + told.partition(b" ")[2])


def _end(world: World, claims: dict[str, Claim]) -> None:
    queue, redis = world.queue, world.queue.redis
    for name in (WHOLE, "done", "old"):
        assert queue.finish(claims[name], RESULT, 2.0)
    for name in ("failed", "dead"):
        assert queue.fail(claims[name], {"code": "not_audio", "detail": "no song"}, retry=False) == "failed"
    queue.cancel(world.songs["cancelled"])
    queue.renew(claims["running"], {"stage": "separating", "progress": "0.5", "trouble": "the store refuses"})
    redis.zadd(LEASES, {world.songs["lost"]: 1})
    redis.hset(f"job:{world.songs['old']}", "finished_ms", "1")
    for taken, state in zip(world.outbox.take(3, limit=10), ("pending", "failed", "delivered"), strict=False):
        world.outbox.settle(taken, Verdict(state, 0), "no connection")
    queue.hold(world.songs["done"], 600)


def some(found: list[Damage], count: int, chance: random.Random) -> list[Damage]:
    """Of different keys."""
    by_key: dict[str, Damage] = {}
    for damage in chance.sample(found, len(found)):
        by_key.setdefault(damage.key, damage)
        if len(by_key) == count:
            break
    return list(by_key.values())
