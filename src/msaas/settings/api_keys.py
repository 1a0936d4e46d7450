"""Parses API keys from the setting: a name, scopes and a SHA-256 each. Contains hashes, never a key. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

READ, USE, ADMIN = "read", "use", "admin"
# what a scope covers, itself included
COVERS = {READ: frozenset({READ}), USE: frozenset({READ, USE}), ADMIN: frozenset({READ, USE, ADMIN})}

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"sha256=([0-9a-f]{64})")
FORM = "name:scope+scope:sha256=<64 hex digits>"


@dataclass(frozen=True)
class Key:
    """`name` is the tenant: several keys of one name see the same jobs. The digest is not shown where one is logged.

    Plain SHA-256, neither salted nor slow: a key is 256 random bits, which nobody can guess, however fast a guess
    is. Slow hashes protect passwords, which people choose; here they would only slow down each request.
    """

    name: str
    scopes: frozenset[str]
    digest: str = field(repr=False)

    def may(self, scope: str) -> bool:
        return any(scope in COVERS[own] for own in self.scopes)

    @property
    def line(self) -> str:
        """The key in the form that the setting takes."""
        return f"{self.name}:{'+'.join(sorted(self.scopes))}:sha256={self.digest}"


def parse_keys(text: str) -> tuple[Key, ...]:
    """Keys separated by commas, spaces or line ends. Raises ValueError, quoting names and positions, never a digest."""
    parts = re.split(r"[\s,]+", text.strip(" \t\r\n,"))
    keys = tuple(_parse(part, place) for place, part in enumerate(parts, 1) if part)
    if text and not keys:  # a Secret with an empty line in it must not open the API
        raise ValueError("it is set but has no key; unset it to disable authentication")
    if len({key.digest for key in keys}) < len(keys):
        raise ValueError("the same key is listed twice; each entry needs its own key")
    return keys


def _parse(text: str, place: int) -> Key:
    parts = text.split(":")
    if len(parts) != 3:
        raise ValueError(f"key {place} does not have the form {FORM}; `msaas keys new` prints such a line")
    name, scopes, digest = parts
    if not NAME.fullmatch(name):
        raise ValueError(f"key {place} has an invalid name: use up to 64 letters, digits, _ . and -")
    if not (found := _DIGEST.fullmatch(digest)):
        raise ValueError(
            f"key {place} ({name}) does not end in sha256=<64 hex digits>; list the hash, never the key itself"
        )
    return Key(name, parse_scopes(scopes), found[1])


def parse_scopes(text: str) -> frozenset[str]:
    """`use`, or several with + between them. Raises ValueError."""
    scopes = frozenset(text.split("+"))
    if not scopes <= COVERS.keys():
        raise ValueError(f"the scopes are {', '.join(COVERS)}, joined by +")
    return scopes
