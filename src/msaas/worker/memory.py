"""The memory that this worker's container has, and whether the kernel kills for it. Linux' cgroups, version 1 and 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # version 1 has a number like this where there is no limit
DEATHS = 2  # in succession, after which a worker claims nothing for a while


def limit_bytes(root: Path = CGROUP) -> int | None:
    """The container's memory limit; None if there is none, or no cgroup."""
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _text(root / file).strip()
        if text.isdigit() and int(text) < UNLIMITED:
            return int(text)
    return None


def kills(root: Path = CGROUP) -> int:
    """How often the kernel has killed a process of the container for its limit."""
    for file in ("memory.events", "memory/memory.oom_control"):
        for line in _text(root / file).splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdigit():
                return int(count)
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


class MemoryWatch:
    """Counts the runs in succession that ended for lack of memory, and compares the limit with what a model needs."""

    def __init__(
        self, *, limit: Callable[[], int | None] = limit_bytes, kills: Callable[[], int] = kills, deaths: int = DEATHS
    ) -> None:
        self._limit, self._kills, self._most = limit, kills, deaths
        self._seen, self._deaths = kills(), 0

    def kernel_killed(self) -> bool:
        """Whether the kernel killed for the limit since the last call."""
        before, self._seen = self._seen, self._kills()
        return self._seen > before

    def died(self) -> bool:
        """Counts a run that ended for lack of memory; returns whether there were too many in succession."""
        self._deaths += 1
        return self._deaths >= self._most

    def finished(self) -> None:
        self._deaths = 0

    def shortage(self, model: str, peak_bytes: int | None) -> str:
        """Says why the model cannot run here, if the limit is below the least that it has needed elsewhere."""
        limit = self._limit()
        if not peak_bytes or limit is None or limit >= peak_bytes:
            return ""
        return f"{self.words()}, and {model} has needed at least {_mib(peak_bytes)}"

    def words(self) -> str:
        limit = self._limit()
        return "the worker has no memory limit" if limit is None else f"the worker's memory limit is {_mib(limit)}"


def _mib(count: int) -> str:
    return f"{count >> 20} MiB"
