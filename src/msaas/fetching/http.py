"""Reads a song from a web server. Each connection goes to an address that was checked, also after a redirect.

The song is read as it is: a compressed answer is refused, so that no decompressor runs here.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from urllib.parse import urljoin

from msaas.errors import FetchRefused
from msaas.fetching.answers import Broken, FetchFailed, SourceAnswer
from msaas.fetching.sources import MEMBER
from msaas.outbound.connection import Connect, DeadlineGuard, connect_to, connected, reason_of, with_tls
from msaas.outbound.resolve import resolve
from msaas.outbound.targets import Target, TargetPolicy

IDLE_SECONDS = 30.0
CHUNK_BYTES = 64 * 1024
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
RANGE_UNKNOWN = 416
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")

ResolveWithin = Callable[[str, int, float], Sequence[str]]


class HttpSource:
    """`resolve` and `connect` are those of the guard; tests replace them."""

    def __init__(
        self,
        url: str,
        policy: TargetPolicy,
        context: ssl.SSLContext,
        *,
        resolve: ResolveWithin = resolve,
        connect: Connect = connect_to,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.url, self.policy, self.context = url, policy, context
        self._resolve, self._connect, self._idle_seconds = resolve, connect, idle_seconds
        self._guard: DeadlineGuard | None = None
        self._lock = threading.Lock()
        self._interrupted = False

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            if self._guard:
                self._guard.expire()

    @contextmanager
    def open(self, start: int, validator: str, deadline: float) -> Iterator[SourceAnswer]:
        headers = {"Range": f"bytes={start}-", "If-Range": validator} if start and validator else {}
        url = self.url
        for _ in range(MAX_REDIRECTS + 1):
            with ExitStack() as connection:  # errors of the reader's own work must not look like the server's
                with _as_broken():
                    target, response, guard = self._exchange(url, headers, deadline, connection)
                if response.status not in REDIRECTS:
                    yield _answer(target, response, guard)
                    return
                url = _redirected(url, response)
        raise FetchFailed(f"{MEMBER} redirects more than {MAX_REDIRECTS} times")

    def _exchange(
        self, url: str, headers: dict[str, str], deadline: float, connection: ExitStack
    ) -> tuple[Target, http.client.HTTPResponse, DeadlineGuard]:
        """The guard's check, then one request to the address that it checked."""
        target, addresses = self.policy.addresses(url, lambda host, port: self._resolve(host, port, _left(deadline)))
        raw = connection.enter_context(connected(target, addresses, deadline, self._connect))
        guard = connection.enter_context(DeadlineGuard(raw, deadline))
        connection.enter_context(self._interruptible(guard))
        raw.settimeout(min(self._idle_seconds, max(_left(deadline), 0.01)))
        channel = connection.enter_context(with_tls(raw, target, self.context))
        response = connection.enter_context(_request(target, channel, headers))
        if guard.expired:  # headers cut off look like complete headers
            raise Broken("the server does not answer in time")
        return target, response, guard

    @contextmanager
    def _interruptible(self, guard: DeadlineGuard) -> Iterator[None]:
        with self._lock:
            self._guard = guard
        try:
            if self._interrupted:
                raise Broken("interrupted")
            yield
        finally:
            with self._lock:
                self._guard = None


@contextmanager
def _as_broken() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise Broken(reason_of(error)) from error


def _request(target: Target, channel: socket.socket, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = channel  # set, so that http.client never connects by itself
    connection.auto_open = 0
    connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
    fixed = {
        "Host": target.host_header,
        "User-Agent": "MSaaS",
        "Accept": "audio/*, video/*, application/octet-stream;q=0.9, */*;q=0.8",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    for name, value in (fixed | headers).items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _answer(target: Target, response: http.client.HTTPResponse, guard: DeadlineGuard) -> SourceAnswer:
    """Raises Broken for what may change, FetchFailed for what will not."""
    if response.status == RANGE_UNKNOWN:
        raise Broken("the server no longer has the rest of the song", restart=True)
    if response.status in TEMPORARY:
        raise Broken(f"{target.host_header} answered {response.status}")
    if response.status not in (200, 206):
        raise FetchFailed(f"{target.host_header} answered {response.status}")
    coding = response.getheader("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise FetchFailed(f"{target.host_header} sent a compressed answer ({coding[:20]}), which is not accepted")
    start, total = _extent(response)
    return SourceAnswer(_chunks(response, guard), start, total, _validator(response))


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The position of the first byte, and the length of the whole song."""
    if response.status == 200:
        return 0, response.length
    found = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", "").strip())
    if not found:
        raise Broken("the server sent a range that it does not describe", restart=True)
    return int(found[1]), int(found[2])


def _validator(response: http.client.HTTPResponse) -> str:
    """For If-Range (RFC 9110, 13.1.5): a strong ETag, else the date of the last change."""
    etag = response.getheader("ETag", "")
    text = etag if etag.startswith('"') else response.getheader("Last-Modified", "")
    return text if text.isascii() and text.isprintable() and len(text) <= 500 else ""


def _chunks(response: http.client.HTTPResponse, guard: DeadlineGuard) -> Iterator[bytes]:
    """As they arrive, so that a slow server is noticed."""
    while True:
        with _as_broken():
            chunk = response.read1(CHUNK_BYTES)
        if guard.expired:  # a connection closed here looks like the end of a song of unknown length
            raise Broken("the connection was closed at the deadline")
        if not chunk:
            return
        yield chunk


def _redirected(url: str, response: http.client.HTTPResponse) -> str:
    location = response.getheader("Location", "")
    if not location.isprintable() or not location.strip():
        raise FetchFailed(f"{MEMBER} redirects to no address")
    new = urljoin(url, location.strip())
    if url.lower().startswith("https:") and not new.lower().startswith("https:"):
        raise FetchRefused(f"{MEMBER} redirects from https to another scheme")
    return new


def _left(deadline: float) -> float:
    return deadline - time.monotonic()
