"""One POST to one address that was checked beforehand. Follows no redirect, reads no proxy setting, waits no longer
than it was told, however slowly the other side drips.

`http.client` does what it is told and no more; here it is told where to connect. The URL's host stays in `Host`, in
TLS' SNI and in the certificate check.
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
# A dead first address (IPv6 without a route that answers) must leave time for the next.
CONNECT_SECONDS = 5.0
MOST_ADDRESSES = 4

Connect = Callable[[Address, int, float], socket.socket]


@dataclass(frozen=True)
class Answer:
    """The body is not here: it is read to be polite, thrown away, and shown to nobody."""

    status: int
    retry_after: str | None


class TooSlow(OSError):
    """The time for the whole attempt is over."""


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
    """Raises OSError (TooSlow, and TLS' own among them) and http.client.HTTPException."""
    with _dialled(target, addresses, deadline, connect) as raw, _Watch(raw, deadline) as watch:
        try:
            with _secured(raw, target, context) as connected:
                return _exchange(target, connected, body, headers, watch)
        except (OSError, http.client.HTTPException) as error:
            if watch.bitten or isinstance(error, TimeoutError):
                raise TooSlow("no whole answer in time") from error
            raise


def _dialled(target: Target, addresses: Sequence[Address], deadline: float, connect: Connect) -> socket.socket:
    """The first of the addresses that takes the connection."""
    failed: OSError = TooSlow("no time left to connect")
    for address in addresses[:MOST_ADDRESSES]:
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


def _secured(raw: socket.socket, target: Target, context: ssl.SSLContext) -> socket.socket:
    if target.scheme == "http":
        return raw
    return context.wrap_socket(raw, server_hostname=target.host)


def _exchange(
    target: Target, connected: socket.socket, body: bytes, headers: Mapping[str, str], watch: _Watch
) -> Answer:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = connected  # set, so that http.client never dials by itself
    connection.auto_open = 0
    connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
    fixed = {"Host": target.host_header, "Content-Length": str(len(body)), "Connection": "close"}
    for name, value in (fixed | dict(headers)).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    with connection.getresponse() as response:
        if watch.bitten:  # headers cut short read like headers that ended
            raise TooSlow("no whole answer in time")
        answer = Answer(response.status, response.getheader("Retry-After"))
        # The status stands, whatever becomes of the body. Read all the same: closing on unread data resets the
        # connection, and the receiver would log an error for a callback that went well.
        with suppress(OSError, http.client.HTTPException):
            response.read(BODY_LIMIT_BYTES)
    return answer


class _Watch:
    """Cuts a connection at the deadline. Socket time-outs begin anew with each byte, and so never end a trickle."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self.bitten = False
        # a handle of our own: TLS takes the socket object over, and must not be called from another thread
        self._handle = raw.dup()
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0), self._bite)
        self._timer.daemon = True

    def _bite(self) -> None:
        self.bitten = True
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._handle.close()
