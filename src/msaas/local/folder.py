"""The stack's folder, `.msaas/`: its lock, and the state of the stack that holds it. Only one stack at a time."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msaas.cli.paths import output_folder
from msaas.errors import MSaaSError
from msaas.local.processes.child import wait_until
from msaas.local.servers import free_ports, ports_are_free, write_private

# After a kill, the guard holds the lock until the stack's children have ended.
GUARD_SECONDS = 8.0
PROBE_SECONDS = 1.0  # `live()` holds the lock briefly to test it


class StackRunning(MSaaSError):
    """Another stack holds the folder's lock."""

    code = "stack_running"


@dataclass(frozen=True)
class LiveStack:
    """A running stack's state. `url` is empty until it is ready."""

    pid: int
    url: str = ""
    model: str = ""
    warning: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> LiveStack | None:
        try:
            found = json.loads(path.read_text())
            return cls(found["pid"], found["url"], found["model"], tuple(found["warning"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class Folder:
    """`.msaas/`, locked from `lock()` to `unlock()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "stack.json"
        self._lock: int | None = None

    @property
    def lock_fd(self) -> int:
        if self._lock is None:
            raise RuntimeError("the folder is not locked")
        return self._lock

    def lock(self) -> None:
        """Raises StackRunning if another stack holds the lock, UnusablePath if the folder cannot be written."""
        with output_folder(self.path):
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        live = LiveStack.read(self.state)
        limit_seconds = PROBE_SECONDS if live and live.alive else GUARD_SECONDS
        if not wait_until(lambda: _locked(lock), limit_seconds):
            os.close(lock)
            raise StackRunning(self._held_by())
        self._lock = lock
        self.write_state(LiveStack(os.getpid()))

    def _held_by(self) -> str:
        live = LiveStack.read(self.state)
        if live is None:
            return f"{self.path} is in use by another stack"
        where = f" at {live.url}" if live.url else ""
        return f"a stack is already running in {self.path}{where} (process {live.pid}); stop it with: kill {live.pid}"

    def live(self) -> LiveStack | None:
        """The stack that holds the lock, if any."""
        live = LiveStack.read(self.state)
        return live if live is not None and live.alive and not self._is_free() else None

    def _is_free(self) -> bool:
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except OSError:  # there is no lock, or lock() will report the error
            return True
        try:
            return _locked(lock)
        finally:
            os.close(lock)

    def write_state(self, live: LiveStack) -> None:
        write_private(self.state, json.dumps(asdict(live)))

    def unlock(self) -> None:
        if self._lock is None:
            return
        self.state.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def ports(self, component: str, count: int) -> list[int]:
        """The same ports as last time if they are free, so that bookmarks and open redis-clis keep working."""
        path = self.path / "ports.json"
        known = _read_ports(path)
        ports: list[int] = known.get(component, [])
        if len(ports) != count or not ports_are_free(ports):
            ports = list(free_ports(count))
            write_private(path, json.dumps(known | {component: ports}))
        return ports


def _read_ports(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
