"""The memory that this worker and its separation process may take, and whether one of them ended for lack of it.

The container's limit is read from Linux' cgroups, version 1 and 2; the process's own limit is RLIMIT_DATA.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # version 1 has a number like this where there is no limit
DEATHS = 2  # in succession, after which a worker claims nothing for a while
SAMPLE_SECONDS = 0.02  # between two looks at a process's memory


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
        self,
        *,
        child_bytes: int = 0,
        limit: Callable[[], int | None] = limit_bytes,
        kills: Callable[[], int] = kills,
        deaths: int = DEATHS,
    ) -> None:
        """child_bytes: MSAAS_CHILD_MEMORY_BYTES, 0 for no limit."""
        self._child_bytes = child_bytes
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
        return f"{self.words(by_kernel=True)}, and {model} has needed at least {_mib(peak_bytes)}"

    def words(self, *, by_kernel: bool) -> str:
        """Which limit counts: the container's if the kernel enforced it, else the lower of it and the setting."""
        limit = self._limit()
        if self._child_bytes and not by_kernel and (limit is None or self._child_bytes < limit):
            return f"MSAAS_CHILD_MEMORY_BYTES is {self._child_bytes} ({_mib(self._child_bytes)})"
        return "the worker has no memory limit" if limit is None else f"the worker's memory limit is {_mib(limit)}"


class MemoryGauge:
    """The most writable memory that a process with a limit (RLIMIT_DATA) was seen to hold.

    A library that gets no memory may crash instead of reporting it, FFmpeg for one, and the kernel forgets what a
    process held once it has ended. So a thread looks at it while the process lives.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._held, self._limit = pid, 0, 0
        self.samples = 0  # how often it has looked
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="memory-gauge", daemon=True).start()

    def near_limit(self) -> str:
        """How much the process held of what it might, in words; empty if that was less than half, or had no limit."""
        near = self._limit and self._held >= self._limit / 2
        return f"it held {_mib(self._held)} of at most {_mib(self._limit)}" if near else ""

    def stop(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            try:
                self._limit = _limit_of(self._pid)
                if self._limit:
                    self._held = max(self._held, data_bytes(self._pid))
                self.samples += 1
            except (OSError, ValueError):  # it has ended
                return


def data_bytes(pid: int | str) -> int:
    """The writable memory of a process, or of "self", in bytes, as RLIMIT_DATA counts it.

    Raises OSError or ValueError if the process has ended.
    """
    _, found, after = Path(f"/proc/{pid}/status").read_text().partition("VmData:")
    if not found:
        raise ValueError(f"process {pid} has ended")
    return int(after.split()[0]) * 1024


def _limit_of(pid: int) -> int:
    """In bytes; 0 if there is none."""
    return max(resource.prlimit(pid, resource.RLIMIT_DATA)[0], 0)


def _mib(count: int) -> str:
    return f"{count >> 20} MiB"
