"""API keys: how the setting spells them, how a caller's key is found among them. Knows hashes, keeps no key. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

PREFIX = "msaas_"  # scanners for leaked secrets, and our own log, know one by it
KEY_BYTES = 32
SHORTEST_KEY = 32  # characters of a key that somebody made without us
FEWEST_CHARACTERS = 12  # different ones: `aaaa…` is long, and no secret

READ, USE, ADMIN = "read", "use", "admin"
# what a scope covers, itself included
COVERS = {READ: frozenset({READ}), USE: frozenset({READ, USE}), ADMIN: frozenset({READ, USE, ADMIN})}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"sha256=([0-9a-f]{64})")
_OURS = re.compile(PREFIX + r"[A-Za-z0-9_-]{8}", re.IGNORECASE)
_MARK = re.compile(r"[^A-Za-z0-9]")
DECODINGS = 4
MOST_MARKS, MOST_MARKS_IN_A_KEY = 200, 16  # all that a log line shows of a path (gate.LONGEST_SHOWN)
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
FORM = "name:scope+scope:sha256=<64 hex digits>"


@dataclass(frozen=True)
class Key:
    """`name` is the tenant: several keys of one name see the same jobs. The digest is not shown where one is logged.

    Plain SHA-256, neither salted nor slow: a key is 256 random bits, which nobody finds by trying, whatever a try
    costs. Slow hashes protect passwords, which people choose; here they would only slow down each request.
    """

    name: str
    scopes: frozenset[str]
    digest: str = field(repr=False)

    def may(self, scope: str) -> bool:
        return any(scope in COVERS[own] for own in self.scopes)

    @property
    def line(self) -> str:
        """As the setting spells it."""
        return f"{self.name}:{'+'.join(sorted(self.scopes))}:sha256={self.digest}"


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def find_key(held: Sequence[Key], presented: str) -> Key | None:
    """Compares with all of them, each in constant time: how long it takes tells nothing of which came close."""
    digest, found = digest_of(presented), None
    for key in held:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def parse_keys(text: str) -> tuple[Key, ...]:
    """Keys parted by commas, spaces or line ends. Raises ValueError, quoting names and positions, never a digest."""
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
    if not _NAME.fullmatch(name):
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


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, Key]:
    """A fresh key, and what the setting is to hold of it. Raises ValueError."""
    text = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return text, hashed(name, scopes, text)


def hashed(name: str, scopes: Iterable[str], text: str) -> Key:
    """Of a key that is there already. Raises ValueError for a name, a scope or a key that will not do."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits, _ . and -")
    if len(text) < SHORTEST_KEY or len(set(text)) < FEWEST_CHARACTERS:
        raise ValueError(
            f"the key is too easy to guess: use {SHORTEST_KEY} random characters; `msaas keys new` creates one"
        )
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("a key has only printable ASCII characters and no spaces")
    return Key(name, parse_scopes("+".join(scopes)), digest_of(text))


def holds_a_key(text: str, held: Sequence[Key]) -> bool:
    """Is a key anywhere in the text: one of ours by its prefix, or one that is known here? Also behind %-encoding."""
    for _ in range(DECODINGS):
        if _OURS.search(text) or _holds_known_key(text, frozenset(key.digest for key in held)):
            return True
        decoded = unquote_plus(text)
        if decoded == text:
            return False
        text = decoded
    return False


def _holds_known_key(text: str, digests: frozenset[str]) -> bool:
    """Looks at each stretch between two characters that are neither letters nor digits, since a key may stand beside
    others (`x-<key>`) and have such characters itself. Bounded, as each look is a hash."""
    if not digests or len(text) < SHORTEST_KEY:
        return False
    marks = [match.start() for match in _MARK.finditer(text)][:MOST_MARKS]
    starts, ends = [0, *(mark + 1 for mark in marks)], [*marks, len(text)]
    return any(
        digest_of(text[start:end]) in digests
        for place, start in enumerate(starts)
        for end in ends[place : place + MOST_MARKS_IN_A_KEY]
        if end - start >= SHORTEST_KEY
    )
