"""Sends one POST to one checked address, within a deadline. Follows no redirect and uses no proxy.

`http.client` connects to the given address; the URL's host is used for `Host`, TLS' SNI and certificate verification.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from msaas.callbacks.targets import Target
from msaas.settings.networks import Address

BODY_LIMIT_BYTES = 65536
# A dead first address (IPv6 without a working route) must leave time for the next.
CONNECT_SECONDS = 5.0
MAX_ADDRESSES = 4

Connect = Callable[[Address, int, float], socket.socket]


@dataclass(frozen=True)
class Answer:
    """The body is read, so that the connection ends cleanly, and discarded."""

    status: int
    retry_after: str | None


class TooSlow(OSError):
    """The attempt exceeded its deadline."""


def connect_to(address: Address, port: int, timeout_seconds: float) -> socket.socket:
    return socket.create_connection((str(address), port), timeout=timeout_seconds)


def post(
    target: Target,
    addresses: Sequence[Address],
    body: bytes,
    headers: Mapping[str, str],
    *,
    deadline: float,  # of time.monotonic()
    context: ssl.SSLContext,
    connect: Connect = connect_to,
) -> Answer:
    """Raises OSError (including TooSlow and TLS errors) and http.client.HTTPException."""
    with _connected(target, addresses, deadline, connect) as raw, _DeadlineGuard(raw, deadline) as deadline_guard:
        try:
            with _tls(raw, target, context) as connected:
                return _exchange(target, connected, body, headers, deadline_guard)
        except (OSError, http.client.HTTPException) as error:
            if deadline_guard.expired or isinstance(error, TimeoutError):
                raise TooSlow("no complete answer in time") from error
            raise


def _connected(target: Target, addresses: Sequence[Address], deadline: float, connect: Connect) -> socket.socket:
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


def _tls(raw: socket.socket, target: Target, context: ssl.SSLContext) -> socket.socket:
    if target.scheme == "http":
        return raw
    return context.wrap_socket(raw, server_hostname=target.host)


def _exchange(
    target: Target, connected: socket.socket, body: bytes, headers: Mapping[str, str], deadline_guard: _DeadlineGuard
) -> Answer:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = connected  # set, so that http.client never connects by itself
    connection.auto_open = 0
    connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
    fixed = {"Host": target.host_header, "Content-Length": str(len(body)), "Connection": "close"}
    for name, value in (fixed | dict(headers)).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    with connection.getresponse() as response:
        if deadline_guard.expired:  # headers cut off look like complete headers
            raise TooSlow("no complete answer in time")
        answer = Answer(response.status, response.getheader("Retry-After"))
        # The status counts, whatever happens to the body. It is read anyway: closing with unread data resets the
        # connection, and the receiver would log an error for a callback that succeeded.
        with suppress(OSError, http.client.HTTPException):
            response.read(BODY_LIMIT_BYTES)
    return answer


class _DeadlineGuard:
    """Closes a connection at the deadline. Socket time-outs restart with each byte, so they do not stop a slow
    trickle."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self.expired = False
        # a separate handle: TLS takes over the socket object, which must not be used from another thread
        self._handle = raw.dup()
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0), self._expire)
        self._timer.daemon = True

    def _expire(self) -> None:
        self.expired = True
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _DeadlineGuard:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._handle.close()
