"""Uploads in parts, by the tus 1.0 protocol (https://tus.io/protocols/resumable-upload). A finished one is submitted by
POST /apiv1/separate with its ID."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from flask import Blueprint, Response, request

from msaas.auth.access_control import caller
from msaas.errors import UnsupportedBody, UploadLocked
from msaas.uploads import Append, Upload, parse_id
from msaas.uploads.records import unknown_upload
from msaas.web.openapi.document import Answer, documented, header
from msaas.web.openapi.schemas import STORES_UNAVAILABLE
from msaas.web.services import Services, current_services
from msaas.web.uploads.append_body import AppendBody
from msaas.web.uploads.bodies import RECEIVED
from msaas.web.uploads.tus_headers import (
    ALGORITHMS,
    CONTENT_TYPE,
    EXTENSIONS,
    VERSION,
    bad_header,
    parse_checksum,
    parse_metadata,
    parse_number,
    require_version,
)

calls = Blueprint("uploads", __name__)

PATH = "/apiv1/uploads"
LOCK_WAIT_SECONDS, LOCK_POLL_SECONDS = 1.0, 0.05
RESUMABLE = header("Tus-Resumable", "the version of the protocol", {"const": VERSION}, required=True)
NUMBER = {"type": "string", "pattern": "^[0-9]{1,15}$"}
CHECKSUM = header(
    "Upload-Checksum",
    "algorithm and base64 digest of this request's body: it is stored only if it has this checksum",
    {"type": "string", "pattern": f"^({'|'.join(ALGORITHMS)}) [A-Za-z0-9+/]+={{0,2}}$"},
)
BYTES: dict[str, Any] = {"content": {CONTENT_TYPE: {"schema": {"type": "string", "contentMediaType": CONTENT_TYPE}}}}
OFFSET = {"Upload-Offset": "bytes that are stored", "Upload-Expires": "when the upload expires without progress"}
STATE = OFFSET | {"Upload-Length": "bytes of the whole song", "Upload-Metadata": "as it was sent"}
HEADER_CODES = {400: ["bad_upload_header"], 412: ["tus_version_unsupported"], 503: STORES_UNAVAILABLE}
BODY_CODES: dict[int, list[str]] = {
    400: ["bad_upload_header", "upload_cut_short", "bad_chunks"],
    408: ["client_too_slow"],
    412: ["tus_version_unsupported"],
    413: ["upload_too_large"],
    415: ["unsupported_body"],
    423: ["upload_locked"],
    460: ["checksum_mismatch"],
    503: [*STORES_UNAVAILABLE, "storage_full", "scratch_full", "busy"],
}


@calls.before_request
def _check_version() -> None:
    if request.method != "OPTIONS":
        require_version(request.headers.get("Tus-Resumable"))


@calls.after_request
def _add_version(response: Response) -> Response:
    response.headers["Tus-Resumable"] = VERSION
    return response


@calls.route(PATH, methods=["OPTIONS"], provide_automatic_options=False)
@calls.route(f"{PATH}/<upload_id>", methods=["OPTIONS"], provide_automatic_options=False)
def capabilities(upload_id: str = "") -> Response:  # noqa: ARG001 - the same for each upload
    response = Response(status=204)
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Max-Size"] = str(current_services().options.max_upload_bytes)
    response.headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    return response


@calls.post(PATH, provide_automatic_options=False)
@documented(
    "Begin an upload in parts",
    "uploads",
    description="tus 1.0 with the extensions " + EXTENSIONS.replace(",", ", ") + ". The body may have the first bytes. "
    "Once all bytes have arrived, `POST /apiv1/separate` with `upload`, the last part of `Location`, submits the song.",
    parameters=[
        RESUMABLE,
        header("Upload-Length", "bytes of the whole song", NUMBER, required=True, example="1000000"),
        header("Upload-Metadata", "`key base64` pairs, separated by commas; `filename` names the song's file"),
        CHECKSUM,
    ],
    body=BYTES,
    answers={201: Answer("Created", headers={"Location": "the upload"} | OFFSET)},
    problems=BODY_CODES | {429: ["too_many_uploads"]},
)
def create_upload() -> Response:
    with _received(_expect_first) as body:
        services = current_services()
        body.finish()
        response = Response(status=201)
        response.headers["Location"] = f"{PATH}/{body.upload_id}"
        return _with_state(response, services.uploads.get(body.upload_id))


@calls.route(f"{PATH}/<upload_id>", methods=["HEAD"], provide_automatic_options=False)
@documented(
    "How much of an upload is stored",
    "uploads",
    parameters=[RESUMABLE],
    answers={200: Answer("Its state", headers=STATE)},
    problems=HEADER_CODES | {404: ["upload_unknown"]},
    head=True,
)
def upload_state(upload_id: str) -> Response:
    upload = _settled(current_services(), upload_id)
    response = _with_state(Response(status=200), upload)
    response.headers["Upload-Length"] = str(upload.size)
    if upload.metadata:
        response.headers["Upload-Metadata"] = upload.metadata
    return response


@calls.patch(f"{PATH}/<upload_id>", provide_automatic_options=False)
@documented(
    "Append to an upload",
    "uploads",
    description="Bytes are stored while they arrive: after a broken connection, HEAD says where to go on.",
    parameters=[
        RESUMABLE,
        header("Upload-Offset", "where the body begins", NUMBER, required=True, example="0"),
        CHECKSUM,
    ],
    body=BYTES,
    answers={204: Answer("Stored", headers=OFFSET)},
    problems=BODY_CODES | {404: ["upload_unknown"], 409: ["offset_mismatch"]},
)
def append_to_upload(upload_id: str) -> Response:
    with _received(_expect_more) as body:
        body.finish()
        return _with_state(Response(status=204), current_services().uploads.get(upload_id))


@calls.delete(f"{PATH}/<upload_id>", provide_automatic_options=False)
@documented(
    "Remove an upload",
    "uploads",
    parameters=[RESUMABLE],
    answers={204: Answer("Removed, with its bytes")},
    problems=HEADER_CODES | {404: ["upload_unknown"]},
)
def remove_upload(upload_id: str) -> Response:
    services = current_services()
    services.uploads.remove(own_upload(services, upload_id))
    return Response(status=204)


def own_upload(services: Services, upload_id: str) -> Upload:
    """Raises NotFound, also for another tenant's upload."""
    upload = services.uploads.get(parse_id(upload_id))
    if not caller().sees(upload.tenant):
        raise unknown_upload(upload_id)
    return upload


def _with_state(response: Response, upload: Upload) -> Response:
    response.headers["Upload-Offset"] = str(upload.offset)
    expires_at = datetime.fromtimestamp(int(upload.expires_at), UTC)
    response.headers["Upload-Expires"] = format_datetime(expires_at, usegmt=True)
    return response


# --- bodies


def _expect_first() -> AppendBody:
    """Creates the upload. Raises to reject the request unread."""
    services = current_services()
    size = parse_number("Upload-Length", request.headers.get("Upload-Length"))
    metadata = request.headers.get("Upload-Metadata", "")
    parse_metadata(metadata)
    if _has_body():
        _require_type()
    parse_checksum(request.headers.get("Upload-Checksum"))
    if (request.content_length or 0) > size:
        raise bad_header(f"the body has {request.content_length} bytes, Upload-Length says {size}")
    who = caller()
    upload = services.uploads.create(size, account=who.account, tenant=who.tenant, metadata=metadata)
    return _body(services, upload, 0)


def _expect_more() -> AppendBody:
    services = current_services()
    _require_type()
    offset = parse_number("Upload-Offset", request.headers.get("Upload-Offset"))
    assert request.view_args is not None  # noqa: S101 - for mypy
    return _body(services, own_upload(services, request.view_args["upload_id"]), offset)


# by endpoint: creates the receiver of a body that is received before the call
RECEIVERS = {"uploads.create_upload": _expect_first, "uploads.append_to_upload": _expect_more}


def _body(services: Services, upload: Upload, offset: int) -> AppendBody:
    checksum = parse_checksum(request.headers.get("Upload-Checksum"))
    append = _locked(services, upload, offset)
    try:
        declared = request.content_length if "Transfer-Encoding" not in request.headers else None
        return AppendBody(append, services.options.scratch_dir, declared=declared, checksum=checksum)
    except BaseException:
        append.release()
        raise


@contextmanager
def _received(expect: Callable[[], AppendBody]) -> Iterator[AppendBody]:
    """The body of the request; receives it unless the server has."""
    if RECEIVED in request.environ:
        yield request.environ[RECEIVED]
        return
    with closing(expect()) as body:
        body.read_from(request)
        yield body


def _settled(services: Services, upload_id: str) -> Upload:
    """Waits a moment for a request that appends: it may be storing the end of a connection that has just broken."""
    give_up_at = time.monotonic() + LOCK_WAIT_SECONDS
    upload = own_upload(services, upload_id)
    while upload.locked_until > time.time() and time.monotonic() < give_up_at:
        time.sleep(LOCK_POLL_SECONDS)
        upload = own_upload(services, upload_id)
    return upload


def _locked(services: Services, upload: Upload, offset: int) -> Append:
    """Waits a moment for an earlier request of the same client, whose connection has just broken."""
    give_up_at = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            return services.uploads.append(upload, offset)
        except UploadLocked:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(LOCK_POLL_SECONDS)


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


def _require_type() -> None:
    if request.mimetype != CONTENT_TYPE:
        raise UnsupportedBody(f"unsupported Content-Type {request.mimetype[:80]!r}; send {CONTENT_TYPE}")
