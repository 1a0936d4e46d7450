"""Stems as one zip, made while it is sent: memory holds one chunk, whatever the stems weigh. Stored, not deflated:
audio does not shrink."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

# members past this get Zip64 sizes; zipfile has to know before it sees the bytes
ZIP64_BYTES = 1 << 31
EPOCH = datetime(1980, 1, 1, tzinfo=UTC)  # the earliest date that a zip can hold


@dataclass(frozen=True)
class Member:
    """A file of the archive. `chunks` is read once, when its turn comes."""

    name: str
    size: int
    modified: datetime | None
    chunks: Iterator[bytes]


class _Outlet(io.RawIOBase):
    """What zipfile writes to. It cannot seek, so zipfile puts sizes and checksums after each member."""

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


def zip_chunks(members: Iterable[Member]) -> Iterator[bytes]:
    """The archive's bytes. The first chunk holds the beginning of the first member."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            with archive.open(_info(member), "w", force_zip64=member.size >= ZIP64_BYTES) as entry:
                for chunk in member.chunks:
                    entry.write(chunk)
                    yield outlet.take()
    yield outlet.take()


def _info(member: Member) -> zipfile.ZipInfo:
    moment = max(member.modified or EPOCH, EPOCH)
    info = zipfile.ZipInfo(member.name, moment.timetuple()[:6])
    info.external_attr = 0o644 << 16  # without it, unzip makes files that nobody may read
    info.file_size = member.size
    return info
