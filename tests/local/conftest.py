"""A stack as a process of its own, with real servers and stand-ins for the API and the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from msaas.local.folder import LiveStack
from msaas.local.processes.child import wait_until
from msaas.local.servers import free_port

STANDIN = Path(__file__).with_name("standin.py")
READY_SECONDS = 60
DRIVER = """
import os, sys
from pathlib import Path
from msaas.local import model, plan, up
from msaas.errors import MSaaSError
folder, standin, notes = map(Path, sys.argv[1:])
command = lambda role: (sys.executable, str(standin), role, str(notes))
try:
    sys.exit(up.serve(plan.Plan(dict(os.environ), folder, rest_command=command("rest"),
        worker_command=command("worker"), choose=lambda _environ: model.ModelChoice("htdemucs_mini"),
        external_limit_seconds=2)))
except MSaaSError as error:
    sys.exit(f"msaas: {error}")
"""


class StackProcess:
    """`make serve` in a folder. `family` is every process it has started so far."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder, self.notes, self.port = folder / ".msaas", folder / "notes", environ["MSAAS_PORT"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MSAAS_", "REDIS", "MINIO"))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.folder), str(STANDIN), str(self.notes)],
            env=clean | dict(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def live(self) -> LiveStack | None:
        """What it tells of itself; None while a file of an earlier stack lies there."""
        found = LiveStack.read(self.folder / "stack.json")
        return found if found and found.pid == self.process.pid else None

    def wait_ready(self) -> StackProcess:
        def settled() -> bool:
            return self.process.poll() is not None or bool(self.live and self.live.url)

        assert wait_until(settled, READY_SECONDS), "not ready in time"
        assert self.process.poll() is None, self.process.communicate()[0]
        return self

    @property
    def family(self) -> list[psutil.Process]:
        """Processes below the stack's own, the guard left out."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in found if "-I" not in process.cmdline()]

    def events(self) -> list[str]:
        """`<role> <what>` in order of time."""
        return [line.partition(" ")[2] for line in self.notes.read_text().splitlines()] if self.notes.exists() else []

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[float, str]:
        """Seconds until it ended, and what it said in its life."""
        began = time.monotonic()
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=40)
        return time.monotonic() - began, said

    @staticmethod
    def until(check: Callable[[], bool], limit_seconds: float = 60) -> bool:
        return wait_until(check, limit_seconds)

    @staticmethod
    def gone(processes: list[psutil.Process], limit_seconds: float = 60) -> bool:
        return wait_until(lambda: all(map(ended, processes)), limit_seconds)


Start = Callable[..., StackProcess]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Start]:
    """Starts stacks in one folder; whatever the test leaves of them is ended."""
    started: list[StackProcess] = []

    def start(**environ: str) -> StackProcess:
        started.append(StackProcess(tmp_path, {"MSAAS_PORT": str(free_port())} | environ))
        return started[-1]

    yield start
    for stack in started:
        if stack.process.poll() is None:
            stack.end(signal.SIGKILL)


def ended(process: psutil.Process) -> bool:
    """A zombie has ended: nobody reaps orphans in some containers."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
