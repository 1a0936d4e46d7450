"""A stem on disk while a song is separated, so that another model can separate it further. Not a stem file of the
result."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from msaas.audio.encode.disk_full import full_disk_as_scratch_full
from msaas.separation.mixture import Samples

BLOCK_SAMPLES = 1 << 18


class KeptStem:
    """Interleaved 32-bit floats without a header: `write` all blocks, then read them by `blocks`, as often as needed.

    As a context manager it deletes the file. Raises ScratchFull if it cannot be created.
    """

    def __init__(self, path: Path, *, sample_rate: int, channels: int) -> None:
        self.path, self.sample_rate, self.channels = path, sample_rate, channels
        with full_disk_as_scratch_full(path):
            self._file = path.open("w+b")

    def __enter__(self) -> KeptStem:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # closing writes buffered bytes, which a full disk refuses; nobody needs them
            self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, block: Samples) -> None:
        """block: [C, n] float32. Raises ScratchFull."""
        with full_disk_as_scratch_full(self.path):
            self._file.write(np.ascontiguousarray(block.T, np.float32).data)

    def blocks(self) -> Generator[Samples]:
        """All that was written, as [C, n] float32."""
        with full_disk_as_scratch_full(self.path):
            self._file.flush()
        self._file.seek(0)
        while data := self._file.read(BLOCK_SAMPLES * self.channels * 4):
            yield np.ascontiguousarray(np.frombuffer(data, np.float32).reshape(-1, self.channels).T)
