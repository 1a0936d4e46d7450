"""The stack's folder, `.msaas/`: who holds it, and what is known of the stack that does. Refuses a second holder."""

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

# A stack that was killed leaves the lock to its guard until its children are gone.
WARDEN_SECONDS = 8.0
GLANCE_SECONDS = 1.0  # `live()` takes the lock for a moment to see whether it is free


class StackRunning(MSaaSError):
    """Another stack holds the folder."""

    code = "stack_running"


@dataclass(frozen=True)
class LiveStack:
    """What a running stack tells of itself. `url` is empty until it answers."""

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
    """`.msaas/`, held from `hold()` to `let_go()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "stack.json"
        self._lock: int | None = None

    @property
    def lock_fd(self) -> int:
        if self._lock is None:
            raise RuntimeError("the folder is not held")
        return self._lock

    def hold(self) -> None:
        """Raises StackRunning where another stack holds it, UnusablePath where nothing can be written there."""
        with output_folder(self.path):
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        live = LiveStack.read(self.state)
        patience = GLANCE_SECONDS if live and live.alive else WARDEN_SECONDS
        if not wait_until(lambda: _locked(lock), patience):
            os.close(lock)
            raise StackRunning(self._held_by())
        self._lock = lock
        self.tell(LiveStack(os.getpid()))

    def _held_by(self) -> str:
        live = LiveStack.read(self.state)
        if live is None:
            return f"{self.path} is in use by another stack"
        where = f" at {live.url}" if live.url else ""
        return f"a stack runs in {self.path} already{where} (process {live.pid}); end it with: kill {live.pid}"

    def live(self) -> LiveStack | None:
        """The stack that holds the folder now, if one does."""
        live = LiveStack.read(self.state)
        return live if live is not None and live.alive and not self._is_free() else None

    def _is_free(self) -> bool:
        try:
            lock = os.open(self.path / "lock", os.O_RDWR)
        except OSError:  # there is none, or hold() will say what is wrong with the folder
            return True
        try:
            return _locked(lock)
        finally:
            os.close(lock)

    def tell(self, live: LiveStack) -> None:
        write_private(self.state, json.dumps(asdict(live)))

    def let_go(self) -> None:
        if self._lock is None:
            return
        self.state.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def ports(self, part: str, count: int) -> list[int]:
        """Those of last time where they are still free: a bookmark or a redis-cli at hand goes on working."""
        path = self.path / "ports.json"
        known = _read_ports(path)
        ports: list[int] = known.get(part, [])
        if len(ports) != count or not ports_are_free(ports):
            ports = list(free_ports(count))
            write_private(path, json.dumps(known | {part: ports}))
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
