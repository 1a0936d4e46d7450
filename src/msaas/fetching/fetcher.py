"""Takes songs to fetch from their queue, one at a time in each thread. A fetch that is lost with its process is run
again by another, when its lease expires."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading

from msaas import scratch
from msaas.fetching.run import PREFIX, FetchContext, FetchRun
from msaas.maintenance.loop import Loop

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
STOP_SECONDS = 5.0


class Fetcher:
    """`start` starts its thread; `stop` gives a running fetch back."""

    def __init__(self, context: FetchContext) -> None:
        self.context = context
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._run: FetchRun | None = None
        self._loop = Loop("fetching", self.turn, 0)

    @property
    def stopping(self) -> threading.Event:
        return self._loop.stopping

    def start(self) -> None:
        if strays := scratch.sweep(self.context.scratch_dir, PREFIX):
            log.info("swept fetches of a killed process folders=%d", strays)
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        if run := self._run:
            run.interrupt()
        self._loop.join(STOP_SECONDS)

    def turn(self) -> None:
        """Waits for a fetch, and runs it."""
        fetches = self.context.fetches
        if not fetches.wait(WAIT_SECONDS) or self.stopping.is_set():
            return
        if claim := fetches.claim(self.name):
            self._run = FetchRun(self.context, claim, self.stopping)
            try:
                self._run.execute()
            finally:
                self._run = None
