"""Temporary files for uploads, hashed while written, deleted when closed. Independent of HTTP."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from msaas import scratch
from msaas.errors import ScratchFull, UploadTooLarge

PREFIX = "msaas-upload-"


@contextmanager
def scratch_errors(folder: Path) -> Iterator[None]:
    """Raises ScratchFull for a full disk or quota; other errors propagate."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ScratchFull(f"no space left for uploads ({folder.name}); retry later") from error
        raise


class Scratch:
    """One temporary file of at most `limit_bytes`. Its lock protects it from sweep() while it is written."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes, self.size = folder, limit_bytes, 0
        with scratch_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=scratch.hidden(PREFIX), dir=folder)
            self.file: BinaryIO = os.fdopen(descriptor, "w+b")
            self.path = scratch.locked(Path(name), descriptor)

    def write(self, data: bytes) -> int:
        """Raises UploadTooLarge before it writes past the limit, ScratchFull if the disk is full."""
        self.size += len(data)
        if self.size > self.limit_bytes:
            raise UploadTooLarge(f"the song exceeds the limit of {self.limit_bytes} bytes")
        with scratch_errors(self.folder):
            return self.file.write(data)

    def seek(self, position: int) -> int:
        with scratch_errors(self.folder):  # flushes
            return self.file.seek(position)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        with suppress(OSError):  # unflushed data of a full disk is no longer needed
            self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Spool(Scratch):
    """A song with its `sha256`."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        super().__init__(folder, limit_bytes)
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        written = super().write(data)
        self._hash.update(data)
        return written

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def sweep(folder: Path) -> int:
    """Deletes the files of killed servers; returns their number."""
    return scratch.sweep(folder, PREFIX)
