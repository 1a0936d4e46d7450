"""One row's laboratory: its own Valkey, a shared S3 server, processes to be killed, and what was done to them."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from msaas.errors import QueueUnavailable
from msaas.jobs import Job
from msaas.local.processes.child import Child, ProcessGuard, wait_until
from msaas.local.servers import Valkey, Weed
from msaas.queue import Backoff, Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.wiring.stores import build_queue, build_storage
from tests.chaos.lab.account import Account, p99, recoveries, take_account
from tests.chaos.lab.history import History
from tests.chaos.lab.ledger import Ledger, read_ledger

ROOT = Path(__file__).resolve().parents[3]
MODEL = "htdemucs_mini"
TENANTS = ("", "anna", "ben")  # they take turns in the list
UP_SECONDS = 40  # a machine that is busy with other things starts a Python slowly


class Failed(Exception):
    """The row cannot go on; what it saw says why."""


@dataclass
class RowResult:
    """One line of the table. `wrong` says why the row failed; empty where it passed."""

    row: str
    fault: str
    injected: int = 0
    jobs: int = 0
    account: Account = field(default_factory=Account)
    p99_seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.wrong

    def claim(self, holds: bool, otherwise: str) -> None:
        """Notes what is wrong, unless the claim holds."""
        if not holds:
            self.wrong.append(otherwise)


class Process:
    """A child of the suite with its log in a file. Start it from the main thread."""

    def __init__(self, lab: Lab, module: str, environ: dict[str, str]) -> None:
        self._log = (lab.folder / f"{module.rpartition('.')[2]}.log").open("a")
        self.child = Child([sys.executable, "-m", module], guard=lab.guard, env=environ, cwd=ROOT, on_line=self._write)
        self.lab = lab

    def _write(self, line: str) -> None:
        with suppress(ValueError):  # closed while the last lines come
            self._log.write(f"[{self.pid}] {line}\n")
            self._log.flush()

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.alive

    @property
    def up(self) -> bool:
        return any(line["pid"] == self.pid for line in self.lab.history.read("up"))

    def kill(self, *, alone: bool = False) -> None:
        """SIGKILL to the process and its group; `alone`: what it started is left to notice by itself."""
        self.lab.kills.append((self.pid, time.time()))
        self.lab.history.note("kill", victim=self.pid, alone=alone)
        if alone:
            os.kill(self.pid, signal.SIGKILL)
            self.child.process.wait()
            time.sleep(0.05)
        self.child.kill()

    def signal(self, number: signal.Signals) -> None:
        self.lab.history.note("signal", victim=self.pid, number=number.name)
        os.kill(self.pid, number)

    def gone(self, seconds: float) -> bool:
        return wait_until(lambda: not self.alive, seconds, pause_seconds=0.02)

    def cpu_seconds(self) -> float:
        """Of the process and what it started."""
        with suppress(psutil.Error):
            family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
            return float(sum(sum(one.cpu_times()[:2]) for one in family))
        return 0.0

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
        self.child.kill()
        self._log.close()


class Lab:
    """Everything a row needs. `lease_seconds` and the like are the row's to choose before it starts processes."""

    def __init__(self, folder: Path, weed: Weed, guard: ProcessGuard, seed: int) -> None:
        self.folder, self.weed, self.guard = folder, weed, guard
        folder.mkdir(parents=True, exist_ok=True)
        self.seed = seed
        self.random = random.Random(f"{folder.name}-{seed}")
        self.history = History(folder / "history.jsonl")
        self.wishes: dict[str, dict[str, Any]] = {}
        self.accepted: set[str] = set()
        self.by_hand: set[str] = set()
        self.kills: list[tuple[int, float]] = []
        self.processes: list[Process] = []
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.valkey = Valkey(folder / "valkey")
        self._server: Child | None = None
        self.environ = {
            "REDIS_HOST": self.valkey.address,
            "MINIO_HOST": weed.address,
            "MINIO_ACCESS_KEY": weed.keys.access,
            "MINIO_SECRET_KEY": weed.keys.secret,
            "MSAAS_SCRATCH_DIR": str(self.scratch),
            "MSAAS_MODEL": MODEL,
            "MSAAS_MODEL_REPO": str(ROOT / "models"),
            "MSAAS_LEASE_SECONDS": "10",  # rows that wait for one to run out name a shorter one
            "MSAAS_HEARTBEAT_SECONDS": "0.2",
            "MSAAS_MAX_ATTEMPTS": "3",
            "MSAAS_GRACE_SECONDS": "0",
            "MSAAS_SCRATCH_FREE_BYTES": "0",
            "MSAAS_STALL_SECONDS": "60",
            "MSAAS_DEBUG_ENDPOINTS": "true",
            "CHAOS_HISTORY": str(self.history.path),
        }
        self.result: RowResult | None = None
        self.start_valkey()
        self.shared_storage = self.storage
        self.shared_storage.ensure_buckets()
        self.shared_storage.empty()

    def row(self, number: str, fault: str) -> RowResult:
        """The row's result, filled in as it goes: what it has found so far survives its being broken off."""
        self.result = RowResult(number, fault)
        return self.result

    # --- the servers

    @property
    def settings(self) -> Settings:
        """As processes of this lab read them, past any proxy."""
        settings = {name: value for name, value in self.environ.items() if not name.startswith("CHAOS_")}
        return Settings.from_env(settings | {"REDIS_HOST": self.valkey.address, "MINIO_HOST": self.weed.address})

    @property
    def queue(self) -> Queue:
        return build_queue(self.settings, timeout_seconds=5)

    @property
    def storage(self) -> Storage:
        return build_storage(self.settings, timeout_seconds=30)

    def start_valkey(self) -> None:
        self._server = self.valkey.launch(self.guard)
        if not wait_until(self.valkey.ready, 30, pause_seconds=0.02):
            raise Failed("Valkey did not come up: " + " ".join(self._server.tail))
        self.history.note("valkey up")

    def kill_valkey(self) -> None:
        self.history.note("valkey killed")
        if self._server is not None:
            self._server.kill()

    # --- processes

    def start(self, module: str, **environ: str) -> Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MSAAS_", "CHAOS_"))}
        process = Process(self, f"tests.chaos.processes.{module}", clean | self.environ | environ)
        self.processes.append(process)
        return process

    def worker(self, plan: str = "", **environ: str) -> Process:
        """A worker; `plan` is what to do to it (see failpoint_plan.py)."""
        return self.start("worker_main", CHAOS_PLAN=plan, **environ)

    def reaper(self, plan: str = "") -> Process:
        return self.start("worker_main", CHAOS_ROLE="reaper", CHAOS_PLAN=plan)

    def await_up(self, *processes: Process) -> None:
        for process in processes:
            if not wait_until(lambda p=process: p.up or not p.alive, UP_SECONDS) or not process.alive:  # type: ignore[misc]
                raise Failed(f"process {process.pid} did not come up: {' | '.join(process.child.tail)}")

    def stop(self, *processes: Process) -> None:
        for process in processes:
            process.close()

    # --- songs

    def new_song(self, do: str = "separate", **wish: Any) -> str:
        """Stores a song that says what is to be done with it, without queueing it."""
        songhash = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self._store(songhash, {"do": do, "name": songhash, **wish})
        return songhash

    def repair(self, songhash: str) -> None:
        """Puts a harmless song in the place of a poisonous one."""
        self._store(songhash, {"do": "separate", "name": songhash})

    def _store(self, songhash: str, wish: dict[str, Any]) -> None:
        self.wishes[songhash] = wish
        path = self.folder / f"wish-{songhash[:8]}"
        path.write_text(json.dumps(wish).ljust(wish.get("input_bytes", 0)))
        self.shared_storage.put_input(songhash, path)
        path.unlink()

    def submit(self, songhash: str, queue: Queue | None = None) -> None:
        """As a client does: again and again until it is acknowledged."""
        queue, pause = queue or self.queue, Backoff(cap_seconds=0.5)
        while True:
            try:
                self.history.note("submit", songhash=songhash)
                queue.submit(songhash, {"model": MODEL, "tenant": TENANTS[int(songhash[-1], 16) % len(TENANTS)]})
                break
            except QueueUnavailable as error:
                self.history.note("submit unanswered", songhash=songhash, error=str(error))
                pause.wait()
        self.accepted.add(songhash)
        self.history.note("accepted", songhash=songhash)

    def songs(self, count: int, do: str = "separate", **wish: Any) -> list[str]:
        queue = self.queue
        songs = [self.new_song(do, **wish) for _ in range(count)]
        for songhash in songs:
            self.submit(songhash, queue)
        return songs

    def job(self, songhash: str) -> Job:
        job = self.queue.get(songhash)
        if job is None:
            raise Failed(f"{songhash} has no record")
        return job

    def until(self, check: Callable[[], bool], seconds: float, what: str) -> None:
        if not wait_until(check, seconds, pause_seconds=0.02):
            raise Failed(f"{what}: not within {seconds:g} s")

    def until_state(self, songhash: str, *states: str, seconds: float = 30) -> Job:
        self.until(lambda: self.job(songhash).state in states, seconds, f"{songhash} {'/'.join(states)}")
        return self.job(songhash)

    def until_stage(self, songhash: str, stage: str, seconds: float = 30) -> None:
        self.until(lambda: self.job(songhash).stage == stage, seconds, f"{songhash} at stage {stage}")

    def until_ended(self, songs: Iterable[str], seconds: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """False where some have not ended in time: the account will name them."""
        left, queue, end = list(songs), self.queue, time.monotonic() + seconds
        while left and time.monotonic() < end:
            with suppress(QueueUnavailable):
                while left and (job := queue.get(left[-1])) is not None and job.state.ended:
                    left.pop()
            meanwhile()
            time.sleep(0.02)
        return not left

    # --- the account

    def ledger(self) -> Ledger:
        return read_ledger(self.valkey.folder, frozenset(self.by_hand))

    def close_account(self, result: RowResult) -> RowResult:
        """Fills in the counts and notes what does not balance."""
        ledger = self.ledger()
        result.account = take_account(ledger, self.wishes, self.accepted, self.queue, self.storage)
        result.jobs = len(self.wishes)
        result.wrong += result.account.faults()
        result.injected = result.injected or len(self.kills) + len(self.history.read("fuse"))
        result.p99_seconds = result.p99_seconds or p99(recoveries(ledger, self.kills))
        return result

    def close(self) -> None:
        for process in self.processes:
            process.close()
        self.kill_valkey()
        self.history.close()


@contextmanager
def open_lab(folder: Path, weed: Weed, guard: ProcessGuard, seed: int) -> Iterator[Lab]:
    lab = Lab(folder, weed, guard, seed)
    try:
        yield lab
    finally:
        lab.close()
