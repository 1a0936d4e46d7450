"""A stretch of a file, as FFmpeg reads it: without a name, with its own first and last byte. Never raises on a seek."""

from __future__ import annotations

import errno
import io
import os


class Window:
    """The bytes from `start` to `end` of a file, read as if there were no others.

    It has no name: every song is called <uuid>.mp3, and FFmpeg would trust that more than the bytes.
    """

    def __init__(self, file: io.FileIO, start: int, end: int) -> None:
        self._file, self.start, self.end = file, start, end
        self.furthest = 0  # bytes: how far reading has come
        self.seek(0)

    @property
    def size(self) -> int:
        return self.end - self.start

    def read(self, count: int) -> bytes:
        found = self._file.read(max(0, min(count, self.end - self._file.tell()))) or b""
        self.furthest = max(self.furthest, self.tell())
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """A place that no file has is answered by a negative error number, as FFmpeg has it: what is raised here would
        reach the caller as an error of the disk."""
        base = {io.SEEK_SET: self.start, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self.end}[whence]
        place = base + offset
        if place < self.start:
            return -errno.EINVAL
        try:
            return self._file.seek(place) - self.start
        except OSError as error:
            return -(error.errno or errno.EINVAL)

    def tell(self) -> int:
        return self._file.tell() - self.start

    def after(self, offset: int) -> Window:
        """The same without its first `offset` bytes."""
        return Window(self._file, self.start + offset, self.end)

    def between(self, start: int, end: int) -> Window:
        return Window(self._file, self.start + start, self.start + end)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on; the reading position stays."""
        place = self.start + offset
        return os.pread(self._file.fileno(), max(0, min(count, self.end - place)), place)
