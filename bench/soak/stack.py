"""The service that a soak runs: stores, the API, three workers, and what is done to two of them.

The worker `steady` is left alone, so that its processes can be followed from beginning to end; of `orphaned` the
separation process is killed from time to time, `killed` is killed itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import redis

from bench.api.load import MODEL
from bench.support.stores import stores
from msaas.auth.keys import new_key
from msaas.callbacks.signing import new_secret
from msaas.local.processes.child import Child, ProcessGuard, wait_until
from msaas.local.processes.readiness import ask
from msaas.local.servers import LOOPBACK, Valkey, Weed, free_port
from msaas.queue import PROCESSING
from msaas.settings import Settings
from msaas.settings.api_keys import ADMIN, USE
from msaas.wiring.stores import build_queue, build_storage

TENANTS = ("anna", "ben", "cleo", "dora")
STEADY, ORPHANED, KILLED = WORKERS = ("steady", "orphaned", "killed")
ROOT = Path(__file__).parents[2]
LOG = ROOT / "bench" / "results" / "soak" / "service.log"
UP_SECONDS = 120.0
RESTART_SECONDS = 2.0
WAIT_LIMIT_SECONDS = 20.0  # for a worker that is to be killed to have a song in work
SERVERS = {"valkey-server": "valkey", "weed": "store"}


@dataclass
class Component:
    """One process that is started again when it ends."""

    name: str
    module: str
    environ: dict[str, str]
    child: Child | None = None
    ended_at: float = 0.0
    starts: int = 0

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid


@dataclass
class Service:
    """Everything that runs. Only the main thread starts processes: they die with the thread that does."""

    settings: Settings
    keys: dict[str, str]  # tenant ▸ key; with "admin"
    secret: str
    valkey: Valkey
    guard: ProcessGuard
    components: list[Component]
    kills: Counter[str] = field(default_factory=Counter)  # by worker
    tracebacks: list[str] = field(default_factory=list)  # the part that logged one, and its line

    def __post_init__(self) -> None:
        self.queue, self.storage = build_queue(self.settings), build_storage(self.settings)
        LOG.parent.mkdir(parents=True, exist_ok=True)
        self._log = LOG.open("w")
        self._to_kill, self._kill_by = "", 0.0

    # --- processes

    def start(self) -> None:
        for component in self.components:
            self._launch(component)
        for component in self.components:
            port = int(component.environ["MSAAS_WORKER_HTTP_PORT" if component.name in WORKERS else "MSAAS_PORT"])
            if not wait_until(lambda port=port: ask(LOOPBACK, port, "/readyz")[0] == 200, UP_SECONDS):  # type: ignore[misc]
                raise SystemExit(
                    f"{component.name} is not ready: {' | '.join(component.child.tail) if component.child else ''}"
                )

    def _launch(self, component: Component) -> None:
        command, on_line = [sys.executable, "-P", "-m", component.module], partial(self._note, component.name)
        component.child = Child(command, guard=self.guard, env=component.environ, on_line=on_line)
        component.starts += 1

    def _note(self, name: str, line: str) -> None:
        if "Traceback" in line:
            self.tracebacks.append(f"{name}: {line}")
        with suppress(ValueError):  # closed while the last lines come
            self._log.write(f"{name}: {line}\n")
            self._log.flush()

    def look_after(self) -> None:
        """Starts again what has ended, and kills what is to be killed."""
        if self._to_kill:
            self._kill_when_busy()
        for component in self.components:
            if component.child is not None and not component.child.alive:
                component.child.kill()
                component.child, component.ended_at = None, time.monotonic()
            if component.child is None and time.monotonic() - component.ended_at > RESTART_SECONDS:
                self._launch(component)

    @property
    def unasked(self) -> list[str]:
        """Processes that ended though nobody killed them."""
        wanted = {KILLED: 1 + self.kills[KILLED]}
        return [component.name for component in self.components if component.starts > wanted.get(component.name, 1)]

    def kinds(self) -> list[tuple[str, int]]:
        """Each process by its kind."""
        found = [(name, process.pid) for process, name in _named(psutil.Process().children(), SERVERS)]
        for component in self.components:
            if component.child is not None and component.child.alive:
                name = f"worker {component.name}" if component.name in WORKERS else component.name
                found += [(name, component.pid), *_below(component.pid, name)]
        return found

    # --- kills

    def kill_soon(self, which: str) -> None:
        """It is killed once it has a song in work, or after a while without."""
        self._to_kill, self._kill_by = which, time.monotonic() + WAIT_LIMIT_SECONDS

    def _kill_when_busy(self) -> None:
        component = next(
            (
                component
                for component in self.components
                if component.name == self._to_kill and component.child is not None
            ),
            None,
        )
        if component is not None and (self._works(component) or time.monotonic() > self._kill_by):
            self._kill(component, self._to_kill)
            self._to_kill = ""

    def _kill(self, component: Component, which: str) -> None:
        separation = next((pid for name, pid in _below(component.pid, "") if name.endswith("separation")), None)
        target = component.pid if which == KILLED else separation
        if target is not None:
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
                self.kills[which] += 1

    def _works(self, component: Component) -> bool:
        running = self.queue.redis.lrange(PROCESSING, 0, -1)
        names = [self.queue.redis.hget(f"job:{name}", "worker") or "" for name in running]
        return any(f"-{component.pid}-" in name for name in names)

    def close(self) -> None:
        for component in reversed(self.components):
            if component.child is not None:
                component.child.stop(25)
        self._log.close()


def _named(processes: list[psutil.Process], names: Mapping[str, str]) -> Iterator[tuple[psutil.Process, str]]:
    for process in processes:
        with suppress(psutil.Error):
            if process.name() in names:
                yield process, names[process.name()]


def _below(pid: int, name: str) -> Iterator[tuple[str, int]]:
    """What a part started, by what its command line says; a fork has the command line of its parent."""
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            command = " ".join(child.cmdline())
            if "msaas.worker.child" in command:
                yield f"{name}: separation", child.pid
                yield from _below(child.pid, name)
            elif "msaas.audio.sandbox.fork_server" in command:
                yield f"{name}: fork server", child.pid
                yield from ((f"{name}: decoders", fork.pid) for fork in child.children())


@contextmanager
def service(retention_minutes: float) -> Iterator[Service]:
    """Stores, API and workers, up and ready, in a folder that goes with them."""
    with ExitStack() as ends:
        valkey, weed, folder = ends.enter_context(stores())
        guard = ProcessGuard()
        ends.callback(guard.close)
        keys = {name: new_key(name, [USE]) for name in TENANTS} | {"admin": new_key("admin", [ADMIN])}
        secret = new_secret()
        environ = _environ(valkey, weed, folder) | {
            "MSAAS_API_KEYS": ",".join(key.line for _, key in keys.values()),
            "MSAAS_CALLBACK_SECRETS": secret,
            "MSAAS_RETENTION_HOURS": f"{retention_minutes / 60:.5f}",
        }
        _keep_whole_log(valkey)
        texts = {name: text for name, (text, _) in keys.items()}
        stack = Service(Settings.from_env(environ), texts, secret, valkey, guard, _parts(environ))
        stack.storage.ensure_buckets()
        ends.callback(stack.close)
        stack.start()
        yield stack


def _parts(environ: dict[str, str]) -> list[Component]:
    ports = {name: {"MSAAS_WORKER_HTTP_PORT": str(free_port())} for name in WORKERS}
    workers = [Component(name, "msaas.worker", environ | ports[name]) for name in WORKERS]
    return [Component("API", "msaas.web", environ), *workers]


def _environ(valkey: Valkey, weed: Weed, folder: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MSAAS_", "MINIO_"))}
    return ours | {
        "REDIS_HOST": valkey.address,
        "MINIO_HOST": weed.address,
        "MINIO_ACCESS_KEY": weed.keys.access,
        "MINIO_SECRET_KEY": weed.keys.secret,
        "MSAAS_PORT": str(free_port()),
        "MSAAS_MODEL": MODEL,
        "MSAAS_MODEL_REPO": str(ROOT / "models"),
        "MSAAS_CPU_THREADS": "1",
        "MSAAS_PRECISION": "fp32",  # auto chooses by speed, and stems of two workers are compared bit by bit
        "MSAAS_SCRATCH_DIR": str(folder / "scratch"),
        "MSAAS_SCRATCH_FREE_BYTES": "0",
        "MSAAS_CALLBACK_ALLOW": "127.0.0.0/8",
    }


def _keep_whole_log(valkey: Valkey) -> None:
    """The account reads each change of each job from the append-only file, which is therefore not rewritten."""
    client: Any = redis.Redis(LOOPBACK, valkey.port)
    client.config_set("auto-aof-rewrite-percentage", 0)
    client.close()
