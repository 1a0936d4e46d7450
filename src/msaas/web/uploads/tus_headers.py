"""Reads the headers of the tus 1.0 protocol, strictly. No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msaas.errors import BadRequest, ProtocolUnsupported

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum"
CONTENT_TYPE = "application/offset+octet-stream"
MAX_METADATA = 8000  # characters
MAX_BYTES = 2**53 - 1
# The protocol requires SHA-1. It detects damage here and does not protect against forgery.
ALGORITHMS: Mapping[str, Callable[[], Any]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
_NUMBER = re.compile(r"[0-9]{1,16}")
_METADATA_KEY = re.compile(r"[!-+\--~]+")


@dataclass(frozen=True)
class Checksum:
    """Of the body of one request."""

    algorithm: str
    digest: bytes


def require_version(text: str | None) -> None:
    """Raises ProtocolUnsupported."""
    if text != VERSION:
        found = "is missing" if text is None else f"is {text[:20]!r}"
        raise ProtocolUnsupported(f"Tus-Resumable {found}; this service supports {VERSION}", VERSION)


def parse_number(name: str, text: str | None) -> int:
    """The value of a header, in bytes. Raises BadRequest."""
    if text is None:
        raise bad_header(f"{name} is missing")
    if not _NUMBER.fullmatch(text) or int(text) > MAX_BYTES:
        raise bad_header(f"{name} {text[:40]!r} is not a number of bytes")
    return int(text)


def parse_metadata(text: str) -> dict[str, str]:
    """`key base64, …`; bytes that are not UTF-8 are replaced. Raises BadRequest."""
    if len(text) > MAX_METADATA:
        raise bad_header(f"Upload-Metadata is longer than {MAX_METADATA} characters")
    pairs = [_metadata_pair(part.strip(" ")) for part in text.split(",")] if text.strip() else []
    if len({key for key, _ in pairs}) < len(pairs):
        raise bad_header("Upload-Metadata has a key twice")
    return dict(pairs)


def filename_in(metadata: str) -> str:
    """Empty without one, or if the metadata of the record are damaged."""
    try:
        return parse_metadata(metadata).get("filename", "")
    except BadRequest:
        return ""


def _metadata_pair(part: str) -> tuple[str, str]:
    key, _, value = part.partition(" ")
    if not _METADATA_KEY.fullmatch(key):
        raise bad_header(f"Upload-Metadata has the invalid key {key[:40]!r}")
    return key, _decoded(value, f"Upload-Metadata, {key[:40]!r}").decode(errors="replace")


def parse_checksum(text: str | None) -> Checksum | None:
    """Raises BadRequest."""
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise bad_header(f"Upload-Checksum has the algorithm {algorithm[:20]!r}; supported: {', '.join(ALGORITHMS)}")
    digest = _decoded(encoded, "Upload-Checksum")
    if len(digest) != ALGORITHMS[algorithm]().digest_size:
        raise bad_header(f"Upload-Checksum has {len(digest)} bytes, which is not a {algorithm}")
    return Checksum(algorithm, digest)


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_header(f"{where}: not base64") from error


def bad_header(message: str) -> BadRequest:
    return BadRequest(message, code="bad_upload_header")
