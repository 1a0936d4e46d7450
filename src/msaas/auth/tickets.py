"""Tickets: signed links for one download, valid for minutes, for browser downloads, which cannot send a header. No I/O.

`<expires>.<signature>`; the signature is an HMAC with the digest of the requesting key: any pod can verify it without
another secret, it is valid for one path, and revoking the key revokes its tickets.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from msaas.settings.api_keys import Key

PARAMETER = "ticket"
SECONDS = 300  # to start a download; a running one is not cut off


def ticket_for(key: Key, path: str, now: float) -> str:
    expires = int(now) + SECONDS
    return f"{expires}.{_signature(key, path, expires)}"


def ticket_holder(keys: Sequence[Key], ticket: str, path: str, now: float) -> Key | None:
    """The key it was made for; None if forged, expired, or for another path."""
    text, _, signature = ticket.partition(".")
    if not (text.isascii() and text.isdigit() and len(text) < 15 and now <= int(text) <= now + SECONDS + 1):
        return None
    holder = None
    for key in keys:
        if hmac.compare_digest(_signature(key, path, int(text)).encode(), signature.encode()):
            holder = key
    return holder


def for_share(ticket: str, share_id: str) -> str:
    """The ticket of a link's holder names the link, whose token is not known here."""
    return f"{ticket}.{share_id}"


def is_shares(ticket: str) -> bool:
    return ticket.count(".") == 2


def split_shares(ticket: str) -> tuple[str, str]:
    """The signed part, and the ID of the link."""
    signed, _, share_id = ticket.rpartition(".")
    return signed, share_id


def _signature(key: Key, path: str, expires: int) -> str:
    return hmac.new(bytes.fromhex(key.digest), f"ticket\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
