"""Receives a small JSON body, an object, of calls that take no song."""

from __future__ import annotations

from typing import Any

from flask import request

from msaas.errors import UnsupportedBody
from msaas.web.services import current_services
from msaas.web.uploads.bodies import RECEIVED
from msaas.web.uploads.body import Body
from msaas.web.uploads.json_body import parse_members
from msaas.web.uploads.spool import Scratch

SMALL_BYTES = 100_000
# The error codes of a wrong body, by status; and those of a service without room for it.
BODY_PROBLEMS = {
    400: ["bad_json", "bad_chunks", "upload_cut_short"],
    408: ["client_too_slow"],
    413: ["upload_too_large"],
    415: ["unsupported_body"],
    422: ["invalid_option"],
}
NO_ROOM = ["scratch_full", "busy"]


def expect_json(what: str, limit_bytes: int = SMALL_BYTES) -> Body:
    """An empty buffer for the body of the current request; `what` is for messages. Raises UnsupportedBody,
    UploadTooLarge."""
    if request.mimetype != "application/json":
        raise UnsupportedBody(f"unsupported Content-Type {request.mimetype[:80]!r}; {what} is application/json")
    body = Body(request.content_length, limit_bytes, limit_bytes, what=what)
    return body.put_into(Scratch(current_services().options.scratch_dir, limit_bytes))


def received_text(what: str, limit_bytes: int = SMALL_BYTES) -> bytes:
    """The body of the current request; receives it unless the server has."""
    body = request.environ.get(RECEIVED)
    if body is not None:
        return bytes(body.scratch.file.read())
    body = expect_json(what, limit_bytes)
    try:
        body.read_from(request)
        return bytes(body.scratch.file.read())
    finally:
        body.close()


def received_members(what: str) -> dict[str, Any]:
    """Raises BadRequest(bad_json)."""
    return parse_members(received_text(what), f"{what} is an object with members")
