"""Sends one POST to one checked address, within a deadline. Follows no redirect and uses no proxy.

`http.client` connects to the given address; the URL's host is used for `Host`, TLS' SNI and certificate verification.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from msaas.outbound.connection import Connect, DeadlineGuard, TooSlow, connect_to, connected, with_tls
from msaas.outbound.targets import Target
from msaas.settings.networks import Address

BODY_LIMIT_BYTES = 65536


@dataclass(frozen=True)
class Answer:
    """The body is read, so that the connection ends cleanly, and discarded."""

    status: int
    retry_after: str | None


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
    with connected(target, addresses, deadline, connect) as raw, DeadlineGuard(raw, deadline) as deadline_guard:
        try:
            with with_tls(raw, target, context) as channel:
                return _exchange(target, channel, body, headers, deadline_guard)
        except (OSError, http.client.HTTPException) as error:
            if deadline_guard.expired or isinstance(error, TimeoutError):
                raise TooSlow("no complete answer in time") from error
            raise


def _exchange(
    target: Target, channel: socket.socket, body: bytes, headers: Mapping[str, str], deadline_guard: DeadlineGuard
) -> Answer:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = channel  # set, so that http.client never connects by itself
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
