"""Tickets: links that open one download for some minutes, for browsers' own downloads, which send no header. No I/O.

`<expires>.<signature>`, the signature an HMAC by the digest of the key that asked: every pod can check it without a
secret more, it is good for one path, and a key that is taken away takes its tickets along.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from msaas.settings.api_keys import Key

PARAMETER = "ticket"
SECONDS = 300  # to begin a download; one that has begun is not cut off


def ticket_for(key: Key, path: str, now: float) -> str:
    expires = int(now) + SECONDS
    return f"{expires}.{_signature(key, path, expires)}"


def ticket_holder(held: Sequence[Key], ticket: str, path: str, now: float) -> Key | None:
    """The key that it was made for; None where it is forged, for another path, or over."""
    text, _, signature = ticket.partition(".")
    if not (text.isascii() and text.isdigit() and len(text) < 15 and now <= int(text) <= now + SECONDS + 1):
        return None
    holder = None
    for key in held:
        if hmac.compare_digest(_signature(key, path, int(text)).encode(), signature.encode()):
            holder = key
    return holder


def _signature(key: Key, path: str, expires: int) -> str:
    return hmac.new(bytes.fromhex(key.digest), f"ticket\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
