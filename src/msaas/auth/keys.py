"""Finds a caller's key among those of the setting, and makes new keys. Stores no key. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_plus

from msaas.settings.api_keys import NAME, Key, parse_scopes
from msaas.sharing.shares import PREFIX as SHARE_PREFIX

PREFIX = "msaas_"  # lets secret scanners, and our own log, recognise a key
KEY_BYTES = 32
MIN_KEY_LENGTH = 32  # characters of a key not made by MSaaS
MIN_DISTINCT_CHARACTERS = 12  # different ones: `aaaa…` is long, but not secret

_PREFIXED = re.compile(rf"(?:{PREFIX}|{SHARE_PREFIX}[0-9a-f]{{16}}_)[A-Za-z0-9_-]{{8}}", re.IGNORECASE)
_MARK = re.compile(r"[^A-Za-z0-9]")
DECODINGS = 4
MAX_MARKS, MAX_MARKS_IN_KEY = 200, 16  # as many as a log line shows of a path (access_control.MAX_SHOWN)
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def find_key(keys: Sequence[Key], presented: str) -> Key | None:
    """Compares with all keys, each in constant time, so that timing reveals nothing."""
    digest, found = digest_of(presented), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, Key]:
    """A new key, and its entry for the setting. Raises ValueError."""
    text = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return text, hashed(name, scopes, text)


def hashed(name: str, scopes: Iterable[str], text: str) -> Key:
    """The setting's entry for an existing key. Raises ValueError for an invalid name, scope or key."""
    if not NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits, _ . and -")
    if len(text) < MIN_KEY_LENGTH or len(set(text)) < MIN_DISTINCT_CHARACTERS:
        raise ValueError(
            f"the key is too easy to guess: use {MIN_KEY_LENGTH} random characters; `msaas keys new` creates one"
        )
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("a key has only printable ASCII characters and no spaces")
    return Key(name, parse_scopes("+".join(scopes)), digest_of(text))


def contains_key(text: str, keys: Sequence[Key]) -> bool:
    """Whether the text contains a key: one with our prefix, or a known one; or the token of a link. Also finds
    percent-encoded ones."""
    for _ in range(DECODINGS):
        if _PREFIXED.search(text) or _contains_known_key(text, frozenset(key.digest for key in keys)):
            return True
        decoded = unquote_plus(text)
        if decoded == text:
            return False
        text = decoded
    return False


def _contains_known_key(text: str, digests: frozenset[str]) -> bool:
    """Tests each part between two characters that are neither letters nor digits, since a key can follow other text
    (`x-<key>`) and contain such characters itself. Bounded, since each test is a hash."""
    if not digests or len(text) < MIN_KEY_LENGTH:
        return False
    marks = [match.start() for match in _MARK.finditer(text)][:MAX_MARKS]
    starts, ends = [0, *(mark + 1 for mark in marks)], [*marks, len(text)]
    return any(
        digest_of(text[start:end]) in digests
        for position, start in enumerate(starts)
        for end in ends[position : position + MAX_MARKS_IN_KEY]
        if end - start >= MIN_KEY_LENGTH
    )
