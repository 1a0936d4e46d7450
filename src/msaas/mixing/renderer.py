"""Takes mixes from their queue, one at a time in each thread. A mix that is lost with its process is rendered again by
another, when its lease expires."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading

from msaas import scratch
from msaas.maintenance.loop import Loop
from msaas.mixing.run import PREFIX, MixContext, MixRun

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
STOP_SECONDS = 5.0


class MixRenderer:
    """`start` starts its thread; `stop` gives a mix in work back."""

    def __init__(self, context: MixContext) -> None:
        self.context = context
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._loop = Loop("mixing", self.turn, 0)

    @property
    def stopping(self) -> threading.Event:
        return self._loop.stopping

    def start(self) -> None:
        if strays := scratch.sweep(self.context.scratch_dir, PREFIX):
            log.info("swept mixes of a killed process folders=%d", strays)
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self._loop.join(STOP_SECONDS)

    def turn(self) -> None:
        """Waits for a mix, and renders it."""
        mixes = self.context.mixes
        if not mixes.wait(WAIT_SECONDS) or self.stopping.is_set():
            return
        if claim := mixes.claim(self.name):
            MixRun(self.context, claim, self.stopping).execute()
