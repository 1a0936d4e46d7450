"""A song's waveforms on their way from the separation process to storage. Never fails a run, hardly ever delays one."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from msaas.audio.waveform import Waveforms
from msaas.errors import MSaaSError
from msaas.storage import Storage

log = logging.getLogger(__name__)

WRITE_SECONDS = 2.0  # between two partial ones
LOOK_SECONDS = 0.5
LAST_SECONDS = 1.0  # how long a run's end waits for the last one to be put


class WaveformFile:
    """The process' side: keeps `path` up to date, whole at any moment."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.clock = path, clock
        self._next = float("-inf")

    def __call__(self, waveforms: Waveforms) -> None:
        if not waveforms.complete and self.clock() < self._next:
            return
        self._next = self.clock() + WRITE_SECONDS
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(waveforms.to_json(), separators=(",", ":")), encoding="ascii")
            fresh.replace(self.path)
        except OSError as error:  # a full disk fails the stems, with its reason; a picture is not worth it
            log.warning("waveforms not written reason=%s", error)


class WaveformUploader:
    """The supervisor's side: puts the file each time it is new, from a thread of its own, until left.

    A run that ends well is followed by the last put; any other leaves at once.
    """

    def __init__(self, storage: Storage, songhash: str, path: Path) -> None:
        self.storage, self.songhash, self.path = storage, songhash, path
        self._put_ns = 0  # when what was put last had been written
        self._stopped, self._abandoned = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="waveforms", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._abandoned = kind is not None
        self._stopped.set()
        self._thread.join(timeout=LAST_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self._put()
        if not self._abandoned:
            self._put()

    def _put(self) -> None:
        with suppress(FileNotFoundError):  # none yet; or the run's folder is gone
            written_ns = self.path.stat().st_mtime_ns
            if written_ns == self._put_ns:
                return
            try:
                self.storage.put_waveforms(self.songhash, self.path.read_bytes())
                self._put_ns = written_ns
            except (MSaaSError, OSError) as error:
                log.info("waveforms not put job=%s reason=%s", self.songhash, error)
