"""Child processes that never outlive their parent. Independent of the programs they run.

Each child has its own session, so that Ctrl-C in the terminal reaches only the parent, which stops them in order. A
parent that is killed cannot do that, so there are two safeguards: the kernel's parent-death signal kills the child
itself (Linux), and a guard, a small process that holds the other end of a pipe, kills the child's whole process group
(the fork server, the separation process) when that pipe closes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msaas.errors import MSaaSError

TAIL_LINES = 25

# -I -S: starts in 25 ms with 8 MB, before the first child, and needs no installed packages.
_GUARD = (sys.executable, "-I", "-S", str(Path(__file__).with_name("process_guard.py")))
# Becomes the child. Its parent-death signal fires when the *thread* that started it ends: hence the main thread.
_LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py")))


class Interrupted(MSaaSError):
    """A signal stopped the process early."""

    code = "interrupted"


class ProcessGuard:
    """Kills its process groups after this process has ended for any reason.

    It holds `keep_open` (a lock's descriptor) until they have ended, so that the lock's next holder finds none of them
    running.
    """

    def __init__(self, keep_open: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            _GUARD,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=keep_open,
        )

    def watch(self, group: int) -> None:
        self._write(f"+{group}\n")

    def unwatch(self, group: int) -> None:
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        if self._process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # without its guard, the parent-death signal remains
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


class Child:
    """A running child with its last output lines. Start it from the main thread (see `_LAUNCHER`)."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        guard: ProcessGuard,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "children must be started from the main thread: they die with the thread that starts them"
            )
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._guard, self._on_line = guard, on_line
        self.process = subprocess.Popen(
            [*_LAUNCHER, str(os.getpid()), *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        guard.watch(self.pid)
        self._pump = threading.Thread(target=self._read, name=f"log-{self.pid}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        for line in self.process.stdout:
            self.tail.append(line.rstrip("\n"))
            if self._on_line is not None:
                self._on_line(self.tail[-1])

    def stop(self, grace_seconds: float) -> None:
        """Sends SIGTERM to the child, SIGKILL after `grace_seconds`; then SIGKILL to the rest of its process group."""
        if self.alive:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """Returns once the child's whole process group has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._guard.unwatch(self.pid)
        self._pump.join(timeout=2)
        if self.process.stdout is not None and not self._pump.is_alive():
            self.process.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


def wait_until(check: Callable[[], bool], limit_seconds: float, *, pause_seconds: float = 0.05) -> bool:
    """Polls `check`; returns True once it does, False after the time limit."""
    end = time.monotonic() + limit_seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(pause_seconds)
    return True
