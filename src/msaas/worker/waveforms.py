"""Passes a song's waveforms from the separation process to storage. Never fails a run, and hardly delays one."""

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

WRITE_SECONDS = 2.0  # between two partial files
DETAIL = ".detail"  # suffix of the finer waveforms, written before the last version of the others
POLL_SECONDS = 0.5
LAST_SECONDS = 1.0  # how long the end of a run waits for the last upload


class WaveformFile:
    """In the separation process: keeps the file at `path` up to date, replacing it atomically."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.clock = path, clock
        self._next = float("-inf")

    def __call__(self, waveforms: Waveforms) -> None:
        if not waveforms.complete and self.clock() < self._next:
            return
        self._next = self.clock() + WRITE_SECONDS
        fresh = self.path.with_suffix(".new")
        try:
            if waveforms.complete:
                self.path.with_suffix(DETAIL).write_bytes(waveforms.detail())
            fresh.write_text(json.dumps(waveforms.to_json(), separators=(",", ":")), encoding="ascii")
            fresh.replace(self.path)
        except OSError as error:  # a full disk fails the stems, with its reason; waveforms are optional
            log.warning("waveforms not written reason=%s", error)


class WaveformUploader:
    """In the supervisor: uploads the file in a thread whenever it changes, until the context ends.

    After a successful run the last version is uploaded; after any other the thread stops at once.
    """

    def __init__(self, storage: Storage, songhash: str, path: Path) -> None:
        self.storage, self.songhash, self.path = storage, songhash, path
        self._put_ns = 0  # modification time of the file uploaded last
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
        while not self._stopped.wait(POLL_SECONDS):
            self._put()
        if not self._abandoned:
            self._put()

    def _detail(self) -> bytes | None:
        with suppress(FileNotFoundError):
            return self.path.with_suffix(DETAIL).read_bytes()
        return None

    def _put(self) -> None:
        with suppress(FileNotFoundError):  # not written yet, or the run's folder has been deleted
            written_ns = self.path.stat().st_mtime_ns
            if written_ns == self._put_ns:
                return
            try:
                data, detail = self.path.read_bytes(), self._detail()
                self.storage.put_waveforms(self.songhash, data)
                self._put_ns = written_ns
                if detail is not None:
                    self.storage.put_waveform_detail(self.songhash, detail)
            except (MSaaSError, OSError) as error:
                log.info("waveforms not put job=%s reason=%s", self.songhash, error)
