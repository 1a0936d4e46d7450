"""The Idempotency-Key header of posts (draft-ietf-httpapi-idempotency-key-header-07).

Only accepted requests are kept: a refused one changed nothing, and its key can be sent again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable

from flask import Response, request

from msaas.auth.access_control import caller
from msaas.auth.idempotency import Answers, Reservation
from msaas.errors import BadRequest, QueueUnavailable

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 255
KEPT_HEADERS = ("Content-Type", "Location")
# A string of RFC 9651, whose parameters have no meaning here, or what most clients send: the key without quotes.
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"(?:;.*)?')
_BARE = re.compile(r"[!#-+\--:<-~]+")


def requested_key() -> str | None:
    """The key of the current request; None without the header. Raises BadRequest."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    quoted, bare = _STRING.fullmatch(text.strip()), _BARE.fullmatch(text.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else bare[0] if bare else ""
    if not 1 <= len(key) <= MAX_KEY:
        raise BadRequest(
            f'{HEADER} takes one string of 1 to {MAX_KEY} printable ASCII characters, as in "8e03978e-40d5-43dd"',
            code="bad_idempotency_key",
        )
    return key


def fingerprint(*parts: str) -> str:
    """Identifies a request: its path, and the parts that determine what it does."""
    return hashlib.sha256(json.dumps([request.path, *parts]).encode()).hexdigest()


def answered_once(answers: Answers, request_fingerprint: str, answer: Callable[[], Response]) -> Response:
    """The answer, or the one that a request with the same key had. Raises IdempotencyKeyReused, RequestInProgress."""
    key = requested_key()
    if key is None:
        return answer()
    reservation = answers.begin(caller().account, key, request_fingerprint)
    if reservation.answer is not None:
        return _replayed(reservation.answer)
    try:
        response = answer()
    except BaseException:
        _settle(lambda: answers.free(reservation))
        raise
    _keep(answers, reservation, response)
    return response


def _keep(answers: Answers, reservation: Reservation, response: Response) -> None:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    kept = json.dumps([response.status_code, headers, response.get_data(as_text=True)])
    _settle(lambda: answers.keep(reservation, kept))


def _settle(end: Callable[[], None]) -> None:
    """The request has had its effect: without Redis its reservation ends by itself."""
    try:
        end()
    except QueueUnavailable as error:
        log.warning("idempotency key not settled reason=%s", error)


def _replayed(kept: str) -> Response:
    status, headers, body = json.loads(kept)
    response = Response(body, status=status, headers=headers)
    response.headers[REPLAYED] = "true"
    return response
