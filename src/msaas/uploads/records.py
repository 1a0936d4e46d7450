"""An upload as a frozen record, and its ID. No I/O."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msaas.errors import NotFound
from msaas.fields import Fields
from msaas.jobs import parse_songhash

ID_BYTES = 16
_ID = re.compile(r"[0-9a-f]{32}")
_HEADER = re.compile(r"[ -~]*")
_CHUNK = re.compile(r"([0-9]{1,16}-[0-9a-f]{16}) ([0-9]{1,16})")


@dataclass(frozen=True)
class Chunk:
    """An object of the store with consecutive bytes of an upload. `name` is unique within the upload."""

    name: str
    size: int


@dataclass(frozen=True)
class Upload:
    """`offset`: the bytes that are stored. `metadata`: the Upload-Metadata header, as it was sent.

    `songhash`: the job that the upload has become; its bytes are that song's then.
    """

    id: str
    size: int
    offset: int
    account: str
    tenant: str
    metadata: str
    expires_at: float  # seconds since 1970
    songhash: str = ""
    locked_until: float = 0.0  # seconds since 1970; in the past unless a request appends

    @property
    def complete(self) -> bool:
        return self.offset == self.size

    @classmethod
    def from_hash(cls, id_: str, record: Mapping[str, str]) -> Upload | None:
        """None if the record is missing or damaged."""
        fields = Fields(record)
        size, offset, expires_at = fields.count("size"), fields.count("offset"), fields.seconds("expires_ms")
        if fields.broken or expires_at is None or "size" not in record or offset > size:
            return None
        metadata = fields.text("metadata")
        texts = (fields.text("account"), fields.text("tenant"), metadata if _HEADER.fullmatch(metadata) else "")
        locked_until = fields.seconds("locked_until_ms") or 0.0
        return cls(id_, size, offset, *texts, expires_at, _songhash(fields.text("songhash")), locked_until)


def _songhash(text: str) -> str:
    try:
        return parse_songhash(text) if text else ""
    except NotFound:
        return ""


def chunks_from(entries: Sequence[str]) -> tuple[Chunk, ...]:
    """The chunks of an upload's list; damaged entries are left out, so that bytes are missing."""
    found = (_CHUNK.fullmatch(entry) for entry in entries)
    return tuple(Chunk(match[1], int(match[2])) for match in found if match)


def new_id() -> str:
    """It cannot be guessed: without keys it is what allows others to append."""
    return secrets.token_hex(ID_BYTES)


def parse_id(text: str) -> str:
    """Raises NotFound."""
    if not _ID.fullmatch(text):
        raise unknown_upload(text)
    return text


def unknown_upload(text: str) -> NotFound:
    return NotFound(f"unknown upload {text[:40]!r}: it was removed, or has expired", code="upload_unknown")
