"""A byte range of a file as a file object for FFmpeg: without a name, with its own start and end."""

from __future__ import annotations

import errno
import io
import os


class Window:
    """The bytes from `start` to `end` of a file, readable as a file of their own.

    It has no name: every song is called <uuid>.mp3, and FFmpeg would trust the name over the content.
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
        """Returns a negative error number for an invalid position, as FFmpeg expects: an exception would reach the
        caller as a disk error."""
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
        """The same range without its first `offset` bytes."""
        return Window(self._file, self.start + offset, self.end)

    def between(self, start: int, end: int) -> Window:
        return Window(self._file, self.start + start, self.start + end)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on; does not move the read position."""
        place = self.start + offset
        return os.pread(self._file.fileno(), max(0, min(count, self.end - place)), place)
