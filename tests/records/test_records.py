"""Each field of each record and each entry of each list damaged, by a seed, against all that reads them.

    RECORDS_EVERY=1 RECORDS_SEED=1 python -m pytest tests/records -m slow

No answer is a 500, no log has a traceback, no loop's turn raises; what is an error says so in its own form, and a song
that was not damaged is served and separated as if nothing were.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from msaas import cli
from msaas.cli import cancel, jobs
from msaas.local.servers import free_port
from tests.records.damages import Damage
from tests.records.surfaces import APART, Fault, Surfaces, Tracebacks, leaves
from tests.records.world import WAITING, WHOLE, World, some, world

STUB = (sys.executable, str(Path(__file__).parents[1] / "worker" / "stub_child.py"))
EVERY = int(os.environ.get("RECORDS_EVERY", "100"))  # of all damages; 1 tries each
SEED = int(os.environ.get("RECORDS_SEED", "1"))
TOGETHER = 3  # damages to as many jobs or callbacks are tried at once
QUICK_ROUNDS = 4

Step = Callable[[list[str]], Iterator[Fault]]


@pytest.fixture
def made(valkey, settings, queue, storage, tmp_path) -> Iterator[World]:
    yield from world(valkey, settings, queue, storage, tmp_path)


@pytest.fixture
def surfaces(made, environ, monkeypatch) -> Iterator[Surfaces]:
    port = free_port()
    server = make_server("127.0.0.1", port, made.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MSAAS_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MSAAS_API_KEY", made.keys["boss"])
    for command in (jobs, cancel):
        monkeypatch.setattr(command, "RETRIES", 0)
    monkeypatch.setattr(cli, "_parser", functools.cache(cli._parser))  # most of a command's time
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    found = Surfaces(made, STUB)
    yield found
    found.close()
    server.shutdown()
    server.server_close()


class Trial:
    """Damages, and all that may be done then, in an order by chance."""

    def __init__(self, surfaces: Surfaces, seed: int) -> None:
        self.surfaces, self.world, self.seed = surfaces, surfaces.world, seed

    def __call__(self, chosen: list[Damage], *, private: bool) -> list[Fault]:
        """Where several damages together are at fault, each is tried by itself to tell which."""
        found = self._once(chosen, private)
        if not found or len(chosen) == 1:
            return found
        alone = [fault for damage in chosen for fault in self._once([damage], private)]
        return alone or found

    def _once(self, chosen: list[Damage], private: bool) -> list[Fault]:
        self.world.restore()
        for damage in chosen:
            damage.do(self.world.raw)
        tracebacks = Tracebacks()
        logging.getLogger().addHandler(tracebacks)
        try:
            found = [*self._done(chosen), *self._whole(private)]
        finally:
            logging.getLogger().removeHandler(tracebacks)
        told = " and ".join(map(str, chosen))
        return [f"{told[:300]}: {fault}" for fault in (*found, *tracebacks.found)]

    def _done(self, chosen: list[Damage]) -> Iterator[Fault]:
        chance = random.Random(f"{self.seed} {chosen[:1]}")
        songs = self._songs(chosen) or [chance.choice(self._damageable())]
        use = self.surfaces
        steps: list[Callable[[list[str]], Iterator[Fault]]] = [
            use.passes,
            use.changes,
            use.writes,
            use.works,
            use.mixes,
            use.sends,
        ]
        chance.shuffle(steps)
        for step in (use.looks, use.reads, *steps, use.looks):
            yield from step(songs)

    def _songs(self, chosen: list[Damage]) -> list[str]:
        """Those whose records are damaged, or whose callbacks are."""
        keys = [damage.key for damage in chosen]
        owners = [self.world.songhash_in(key) for key in keys if key.startswith("callback:")]
        return [song for song in self._damageable() if any(song in text for text in (*keys, *owners))]

    def _damageable(self) -> list[str]:
        return [song for name, song in self.world.songs.items() if name not in (WHOLE, WAITING)]

    def _whole(self, private: bool) -> Iterator[Fault]:
        """What was not damaged: served whatever else is, and separated where nothing shared is damaged."""
        client, headers = self.surfaces.client, self.world.headers("anna")
        song = self.world.songs[WHOLE]
        paths = (f"jobs/{song}", f"track/{song}-vocals", f"jobs/{song}/stems.zip", f"jobs/{song}/waveforms")
        for path in paths:
            answer = client.get(f"/apiv1/{path}", headers=headers)
            if answer.status_code != 200:
                yield f"a whole song's {path}: {answer.status_code} {answer.data[:200]!r}"
        state = client.get(f"/apiv1/jobs/{self.world.songs[WAITING]}", headers=headers)
        if private and (state.json or {}).get("state") != "done":
            yield f"a whole song that waits is not separated: {state.data[:300]!r}"


def rounds(made: World, seed: int) -> tuple[list[list[Damage]], list[Damage]]:
    """Private damages, several together; shared ones, each by itself. In an order by the seed."""
    chance = random.Random(seed)
    private, shared = made.private(), made.shared()
    chance.shuffle(private)
    chance.shuffle(shared)
    together: list[list[Damage]] = []
    while private:
        near, private = private[: 20 * TOGETHER], private[20 * TOGETHER :]
        taken = some(near, TOGETHER, chance)
        together.append(taken)
        private = [damage for damage in near if damage not in taken] + private
    return together, shared


@pytest.mark.parametrize("seed", [1])
def test_damaged_records_are_survived_by_all_that_reads_them(surfaces, seed):
    trial, chance = Trial(surfaces, seed), random.Random(seed)
    private, shared = surfaces.world.private(), surfaces.world.shared()
    found = trial([], private=True)
    for _ in range(QUICK_ROUNDS):
        found += trial(some(private, TOGETHER, chance), private=True)
        found += trial(some(shared, 1, chance), private=False)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_damage_to_a_job_or_a_callback_is_survived(surfaces):
    together, _ = rounds(surfaces.world, SEED)
    trial = Trial(surfaces, SEED)
    found = [fault for chosen in together[::EVERY] for fault in trial(chosen, private=True)]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_damage_to_what_jobs_share_is_survived(surfaces):
    _, shared = rounds(surfaces.world, SEED)
    trial = Trial(surfaces, SEED)
    found = [fault for damage in shared[::EVERY] for fault in trial([damage], private=False)]
    assert not found, "\n".join(found)


def test_every_command_that_reads_records_is_tried(surfaces, monkeypatch):
    typed: list[str] = []
    monkeypatch.setattr(surfaces, "_typed", lambda words: typed.append(words) or iter(()))
    list(surfaces.reads(["x"])) + list(surfaces.writes(["x"]))
    known = [name for name in leaves(cli._parser()) if not name.startswith(APART)]
    assert [name for name in known if not any(words.startswith(name) for words in typed)] == []
