"""Parses the `callback` of a request and checks its target as far as possible without resolving or calling it."""

from __future__ import annotations

from typing import Any

from msaas.callbacks.outbox import CallbackRequest
from msaas.errors import InvalidOption
from msaas.outbound.targets import MAX_URL as MAX_URL
from msaas.outbound.targets import TargetPolicy

MEMBERS = frozenset({"url", "data"})


def parse_callback(given: Any, targets: TargetPolicy) -> CallbackRequest | None:
    """Parses `{"url": http(s) URL, "data": anything}`; None without a callback. Raises InvalidOption,
    CallbackRefused."""
    if given is None:
        return None
    if not isinstance(given, dict) or not given.keys() <= MEMBERS or not isinstance(given.get("url"), str):
        raise InvalidOption('callback takes {"url": "https://…", "data": any JSON value} and no other members')
    target = targets.admit(given["url"])
    return CallbackRequest.new(target, given["url"], given.get("data"))
