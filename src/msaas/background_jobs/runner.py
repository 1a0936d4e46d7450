"""Takes jobs from their queue, one at a time in each thread. A job that is lost with its process is run again by
another, when its lease expires."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from msaas import scratch
from msaas.background_jobs.run import JobRun
from msaas.maintenance.loop import Loop
from msaas.queue import Claim, Queue

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
STOP_SECONDS = 5.0

MakeRun = Callable[[Claim, threading.Event], JobRun]


class JobRunner:
    """`start` starts its thread; `stop` gives a job in work back. `prefix`: of the scratch folders of its runs."""

    def __init__(self, name: str, queue: Queue, make_run: MakeRun, scratch_dir: Path, prefix: str) -> None:
        self._queue, self._make_run, self._scratch_dir, self._prefix = queue, make_run, scratch_dir, prefix
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._run: JobRun | None = None
        self._loop = Loop(name, self.turn, 0)

    @property
    def stopping(self) -> threading.Event:
        return self._loop.stopping

    def start(self) -> None:
        if strays := scratch.sweep(self._scratch_dir, self._prefix):
            log.info("swept scratch folders of a killed process folders=%d prefix=%s", strays, self._prefix)
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        if run := self._run:
            run.interrupt()
        self._loop.join(STOP_SECONDS)

    def turn(self) -> None:
        """Waits for a job, and runs it."""
        if not self._queue.wait(WAIT_SECONDS) or self.stopping.is_set():
            return
        if claim := self._queue.claim(self.name):
            self._run = self._make_run(claim, self.stopping)
            try:
                self._run.execute()
            finally:
                self._run = None
