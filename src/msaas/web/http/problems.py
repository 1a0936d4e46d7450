"""Converts every error to RFC 9457 problem details: no HTML, no stack trace, no bare 500."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from msaas.auth.access_control import record_refusal, shown_method, shown_path
from msaas.error_codes import PROBLEM_CODES
from msaas.errors import BadRequest, MSaaSError, ScratchFull

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# A full disk fails a worker's run, but here it is temporary, since other uploads end.
SCRATCH_FULL_RETRY_SECONDS = 30
# details quote the caller's input
MAX_DETAIL = 1000
UNREGISTERED = {460: "Checksum Mismatch"}  # of tus
UNEXPECTED = "unexpected error; see the server's log"


def register(app: Flask) -> None:
    app.register_error_handler(MSaaSError, from_msaas_error)
    app.register_error_handler(HTTPException, from_werkzeug)
    app.register_error_handler(Exception, from_unexpected)


def problem(status: int, code: str, detail: str, **extra: object) -> Response:
    """`type` is about:blank, so `title` is the status code's phrase (RFC 9457, 4.2.1); `code` is for programs."""
    return Response(problem_text(status, code, detail, **extra), status=status, content_type=MEDIA_TYPE)


def problem_text(status: int, code: str, detail: str, **extra: object) -> str:
    shown = detail if len(detail) <= MAX_DETAIL else detail[:MAX_DETAIL] + "…"
    body = {"type": "about:blank", "title": phrase_of(status), "status": status, "detail": shown, "code": code}
    return json.dumps(body | extra) + "\n"


def phrase_of(status: int) -> str:
    return UNREGISTERED.get(status) or HTTPStatus(status).phrase


def from_msaas_error(error: MSaaSError) -> Response:
    record_refusal(error)
    response = _from_msaas_error(error)
    response.headers.update(error.headers)
    return response


def _from_msaas_error(error: MSaaSError) -> Response:
    if isinstance(error, ScratchFull):
        return _retry(503, error.code, error.detail, SCRATCH_FULL_RETRY_SECONDS)
    if error.status >= 500 and error.retry_after_seconds is None:
        return from_unexpected(error)
    if error.retry_after_seconds is not None:
        if error.status >= 500:  # quotas are logged by access control
            log.warning("temporarily refused code=%s reason=%s", error.code, error)
        return _retry(error.status, error.code, error.detail, error.retry_after_seconds)
    return problem(error.status, error.code, error.detail, **getattr(error, "extra", {}))


def _retry(status: int, code: str, detail: str, seconds: int) -> Response:
    response = problem(status, code, detail)
    response.headers["Retry-After"] = str(seconds)
    return response


def from_werkzeug(error: HTTPException) -> Response:
    """Keeps the headers of the status: Allow for 405, Content-Range for 416."""
    if error.code is None or error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    response = problem(error.code, _code_of(error), error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _code_of(error: HTTPException) -> str:
    """The status' name, if it is in the catalogue."""
    code = error.name.lower().replace(" ", "_")
    if code in PROBLEM_CODES:
        return code
    return BadRequest.code if (error.code or 500) < 500 else MSaaSError.code


def from_unexpected(error: Exception) -> Response:
    log.error("unexpected error method=%s path=%r", shown_method(), shown_path(), exc_info=error)
    return problem(500, "internal_error", UNEXPECTED)
