"""Connects to an address that was checked, with TLS for the host of the URL, within a deadline. Uses no proxy."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from msaas.outbound.resolve import Unresolved
from msaas.outbound.targets import Target
from msaas.settings.networks import Address

# A dead first address (IPv6 without a working route) must leave time for the next.
CONNECT_SECONDS = 5.0
MAX_ADDRESSES = 4

Connect = Callable[[Address, int, float], socket.socket]


class TooSlow(OSError):
    """The attempt exceeded its deadline."""


def connect_to(address: Address, port: int, timeout_seconds: float) -> socket.socket:
    return socket.create_connection((str(address), port), timeout=timeout_seconds)


def connected(target: Target, addresses: Sequence[Address], deadline: float, connect: Connect) -> socket.socket:
    """Connects to the first address that accepts."""
    failed: OSError = TooSlow("no time left to connect")
    for address in addresses[:MAX_ADDRESSES]:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            connection = connect(address, target.port, min(left, CONNECT_SECONDS))
        except OSError as error:
            failed = error
        else:
            connection.settimeout(max(deadline - time.monotonic(), 0.01))
            return connection
    raise failed


def with_tls(raw: socket.socket, target: Target, context: ssl.SSLContext) -> socket.socket:
    if target.scheme == "http":
        return raw
    return context.wrap_socket(raw, server_hostname=target.host)


class DeadlineGuard:
    """Closes a connection at the deadline. Socket time-outs restart with each byte, so they do not stop a slow
    trickle."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self.expired = False
        # a separate handle: TLS takes over the socket object, which must not be used from another thread
        self._handle = raw.dup()
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0), self.expire)
        self._timer.daemon = True

    def expire(self) -> None:
        """Closes the connection now, from any thread."""
        self.expired = True
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> DeadlineGuard:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._handle.close()


def reason_of(error: Exception) -> str:
    """The step that failed, without the other side's own words: they could be an internal service's banner."""
    if isinstance(error, Unresolved):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    if isinstance(error, TimeoutError):
        return "the other side sends nothing"
    if isinstance(error, OSError):
        return f"no connection: {error.strerror or type(error).__name__}"
    return f"no HTTP answer: {type(error).__name__}"
