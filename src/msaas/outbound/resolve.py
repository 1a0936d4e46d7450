"""Resolves a host's addresses within a time limit. Does not judge them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence


class Unresolved(OSError):
    """No address, or no answer in time: temporary."""


def resolve(host: str, port: int, timeout_seconds: float) -> Sequence[str]:
    """All addresses of the host, in the system's order. Raises Unresolved."""
    found: list[str] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(str(answer[4][0]) for answer in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(error)

    # getaddrinfo cannot be interrupted: an abandoned thread ends at the system's own time-outs
    asking = threading.Thread(target=ask, name="callback-resolver", daemon=True)
    asking.start()
    asking.join(max(timeout_seconds, 0))
    if asking.is_alive():
        raise Unresolved(f"{host} was not resolved in time")
    if failed or not found:
        raise Unresolved(f"{host} does not resolve")
    return found
