"""The origins whose pages may call the API (CORS), as the setting spells them. No I/O."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

ANY = "*"


def parse_origins(text: str) -> frozenset[str]:
    """`https://app.example`, by commas or spaces; `*` for any. Raises ValueError naming what is none."""
    return frozenset(_parse(part) for part in re.split(r"[\s,]+", text) if part)


def _parse(text: str) -> str:
    if text == ANY:
        return text
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{text[:80]!r} is not an origin: give scheme://host[:port] without a path or trailing slash")
    return text.lower()
