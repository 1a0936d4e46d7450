"""Downloads a file over HTTP: resumed after a broken connection, never longer than allowed. Checks no checksum."""

from __future__ import annotations

import http.client
import logging
import time
import urllib.error
import urllib.request
from typing import IO

from msaas.separation.weights.sources import WeightsNotFound

log = logging.getLogger(__name__)

ATTEMPTS = 5
READ_SECONDS = 10.0
MAX_BYTES = 16 << 30  # of a file whose size nobody states
BROKEN = (OSError, http.client.HTTPException)  # URLError and time-outs are OSErrors
_CHUNK_BYTES = 1 << 20


def fill(address: str, partial: IO[bytes], expected_bytes: int | None = None) -> None:
    """Downloads what `partial` lacks, and resumes after a broken connection.

    Raises WeightsNotFound after ATTEMPTS without an end, and at once for another length than `expected_bytes`.
    """
    for attempt in range(ATTEMPTS):
        try:
            if _append(address, partial, expected_bytes):
                return
            reason = "the connection ended early"
        except BROKEN as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("download interrupted url=%s bytes=%d reason=%s", address, partial.tell(), reason)
        time.sleep(0.1 * 2**attempt)
    raise WeightsNotFound(f"the mirror {address} failed {ATTEMPTS} times: {reason}")


def touch(address: str, seconds: float) -> None:
    """Requests the first byte. Raises one of BROKEN."""
    _open(address, 0, seconds, last=0).close()


def _append(address: str, partial: IO[bytes], expected_bytes: int | None) -> bool:
    """Returns True once `partial` is complete."""
    if partial.tell() == expected_bytes:
        return True
    try:
        response = _open(address, partial.tell(), READ_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        _empty(partial)  # it is as long as the mirror's file, or longer
        return False
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            _empty(partial)
        length = response.headers.get("Content-Length")
        total = None if length is None else partial.tell() + int(length)
        _refuse_length(address, partial.tell() if total is None else total, None if total is None else expected_bytes)
        _copy(response, partial, address)
        return total in (None, partial.tell())


def _copy(response: http.client.HTTPResponse, partial: IO[bytes], address: str) -> None:
    while chunk := response.read(_CHUNK_BYTES):
        partial.write(chunk)
        _refuse_length(address, partial.tell(), None)
    partial.flush()


def _empty(partial: IO[bytes]) -> None:
    partial.seek(0)
    partial.truncate()


def _refuse_length(address: str, total: int, expected_bytes: int | None) -> None:
    if expected_bytes is not None and total != expected_bytes:
        raise WeightsNotFound(f"the mirror {address} has {total} bytes instead of {expected_bytes}")
    if total > MAX_BYTES:
        raise WeightsNotFound(f"the mirror {address} has {total} bytes; the limit is {MAX_BYTES}")


def _open(address: str, first: int, seconds: float, last: int | None = None) -> http.client.HTTPResponse:
    request = urllib.request.Request(address)  # noqa: S310  (the address is the operator's, Meta's or the catalogue's)
    if first or last is not None:
        request.add_header("Range", f"bytes={first}-{'' if last is None else last}")
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=seconds)  # noqa: S310
    return response
