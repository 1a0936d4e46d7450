"""Makes a zip of stems while it is sent, with one chunk in memory. Stored, not deflated: audio does not shrink.

The same members always give the same bytes, and the size is known in advance, so a download can show progress and
resume.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

# Members of this size or more get Zip64 sizes; zipfile must know before it sees the bytes.
ZIP64_BYTES = 2_000_000_000
# Bytes that zipfile writes around stored members when it cannot seek (PKWARE's APPNOTE.TXT, 4.3).
_LOCAL_HEADER, _LOCAL_ZIP64, _DESCRIPTOR, _DESCRIPTOR_ZIP64 = 30, 20, 16, 24
_CENTRAL_HEADER, _CENTRAL_ZIP64, _CENTRAL_ZIP64_FIELD, _END, _END_ZIP64 = 46, 4, 8, 22, 76
EPOCH = datetime(1980, 1, 1, tzinfo=UTC)  # the earliest date in a zip


@dataclass(frozen=True)
class Member:
    """A file of the archive. `chunks` is read once, in its turn."""

    name: str
    size: int
    modified: datetime | None
    chunks: Iterator[bytes]


class _ByteSink(io.RawIOBase):
    """The target of zipfile. It cannot seek, so zipfile writes sizes and checksums after each member."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._written.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def zip_size(names_and_sizes: Iterable[tuple[str, int]]) -> int:
    """The size of the archive that zip_chunks makes of members with these names and sizes."""
    offset = directory = 0
    for name, size in names_and_sizes:
        large, name_bytes = size >= ZIP64_BYTES, len(name.encode())
        fields = 2 * (size > zipfile.ZIP64_LIMIT) + (offset > zipfile.ZIP64_LIMIT)
        directory += _CENTRAL_HEADER + name_bytes + (_CENTRAL_ZIP64 + _CENTRAL_ZIP64_FIELD * fields if fields else 0)
        offset += _LOCAL_HEADER + name_bytes + (_LOCAL_ZIP64 if large else 0)
        offset += size + (_DESCRIPTOR_ZIP64 if large else _DESCRIPTOR)
    return offset + directory + (_END_ZIP64 if offset > zipfile.ZIP64_LIMIT else 0) + _END


def part_of(chunks: Iterator[bytes], start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to `stop`. Reads from the beginning, since the directory at the end contains
    checksums."""
    position = 0
    for chunk in chunks:
        piece = chunk[max(0, start - position) : max(0, stop - position)]
        position += len(chunk)
        if piece:
            yield piece
        if position >= stop:
            return


def zip_chunks(members: Iterable[Member]) -> Iterator[bytes]:
    """The archive's bytes. The first chunk contains the start of the first member."""
    sink = _ByteSink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            with archive.open(_info(member), "w", force_zip64=member.size >= ZIP64_BYTES) as entry:
                for chunk in member.chunks:
                    entry.write(chunk)
                    yield sink.take()
    yield sink.take()


def _info(member: Member) -> zipfile.ZipInfo:
    moment = max(member.modified or EPOCH, EPOCH)
    info = zipfile.ZipInfo(member.name, moment.timetuple()[:6])
    info.external_attr = 0o644 << 16  # without it, unzip creates unreadable files
    info.file_size = member.size
    return info
