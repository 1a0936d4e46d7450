"""Parses the origins that may call the API (CORS) from the setting. No I/O."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

ANY = "*"


def parse_origins(text: str) -> frozenset[str]:
    """Parses `https://app.example`, separated by commas or spaces; `*` for any. Raises ValueError with the invalid
    part."""
    return frozenset(_parse(part) for part in re.split(r"[\s,]+", text) if part)


def _parse(text: str) -> str:
    if text == ANY:
        return text
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{text[:80]!r} is not an origin: give scheme://host[:port] without a path or trailing slash")
    return text.lower()
