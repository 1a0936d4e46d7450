"""API keys: how a caller's key is found among those of the setting, and how one is made. Keeps no key. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_plus

from msaas.settings.api_keys import NAME, Key, parse_scopes

PREFIX = "msaas_"  # scanners for leaked secrets, and our own log, know one by it
KEY_BYTES = 32
SHORTEST_KEY = 32  # characters of a key that somebody made without us
FEWEST_CHARACTERS = 12  # different ones: `aaaa…` is long, and no secret

_OURS = re.compile(PREFIX + r"[A-Za-z0-9_-]{8}", re.IGNORECASE)
_MARK = re.compile(r"[^A-Za-z0-9]")
DECODINGS = 4
MOST_MARKS, MOST_MARKS_IN_A_KEY = 200, 16  # all that a log line shows of a path (gate.LONGEST_SHOWN)
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def find_key(held: Sequence[Key], presented: str) -> Key | None:
    """Compares with all of them, each in constant time: how long it takes tells nothing of which came close."""
    digest, found = digest_of(presented), None
    for key in held:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, Key]:
    """A fresh key, and what the setting is to hold of it. Raises ValueError."""
    text = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return text, hashed(name, scopes, text)


def hashed(name: str, scopes: Iterable[str], text: str) -> Key:
    """Of a key that is there already. Raises ValueError for a name, a scope or a key that will not do."""
    if not NAME.fullmatch(name):
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
