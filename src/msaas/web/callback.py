"""The `callback` of a request: its shape. Resolves no host and calls nobody."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from msaas.errors import InvalidOption

MEMBERS = frozenset({"url", "data"})
LONGEST_URL = 2048


def parse_callback(given: Any) -> dict[str, Any] | None:
    """`{"url": http(s) URL, "data": anything}`, or None where there is none. Raises InvalidOption."""
    if given is None:
        return None
    if not isinstance(given, dict) or not given.keys() <= MEMBERS:
        raise InvalidOption('callback takes {"url": "https://…", "data": anything} and no other members')
    if not _is_url(given.get("url")):
        raise InvalidOption(f"callback.url takes an http or https URL of at most {LONGEST_URL} characters")
    return {"url": given["url"], "data": given.get("data")}


def callbacks_json(callback: dict[str, Any]) -> str:
    """As the record's field `callbacks` keeps it. Raises InvalidOption for data that no encoder can follow down."""
    try:
        return json.dumps([callback])
    except RecursionError as error:
        raise InvalidOption("callback.data is nested too deeply") from error


def _is_url(url: Any) -> bool:
    if not isinstance(url, str) or len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port past 65535, an unclosed bracket
        return False
