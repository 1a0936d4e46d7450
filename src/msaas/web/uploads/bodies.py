"""The three kinds of request bodies: JSON with base64, multipart, the bare file. Each becomes a Spool.

No song is held in memory. Options are passed on unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from msaas.auth.access_control import caller
from msaas.errors import BadRequest, InvalidOption, UnsupportedBody, UploadTooLarge
from msaas.options import REQUEST_NAMES
from msaas.web.services import Services
from msaas.web.uploads.body import Body
from msaas.web.uploads.json_body import ADDRESS, REST_LIMIT_BYTES, UPLOAD, decode_song, split_body, strict_json
from msaas.web.uploads.multipart import Form, read_form
from msaas.web.uploads.spool import Scratch, Spool

FORM_FIELDS_BYTES = 256 * 1024
FORM_PARTS = 64
# containers that often hold audio only; FFmpeg decides
RAW_TYPES = ("application/octet-stream", "application/ogg")
RAW_FAMILIES = ("audio/", "video/")

HINT = (
    "send the song as raw bytes:  curl -H 'Content-Type: audio/mpeg' --data-binary @song.mp3 {url}\n"
    "or as a form:  curl -F file=@song.mp3 {url}\n"
    "or as JSON:  curl -H 'Content-Type: application/json' -d '{{\"mp3\": \"<base64>\"}}' {url}"
)


FILENAME = "filename"  # the member of a request that is the name of the song's file
PRIORITY = "priority"
BESIDE_OPTIONS = (FILENAME, PRIORITY, "callback")  # what a request may have besides options
RECEIVED = "msaas.received"  # environ key of a body that the server has already received


class Kind(Enum):
    """The kind of a body; the value is for people."""

    RAW = "bare file"
    JSON = "JSON body"
    FORM = "form"


@dataclass(frozen=True)
class Upload:
    """A song on disk with its options, `callback` and `filename`, unchecked. No `song`: they have its address."""

    song: Spool | None
    given: dict[str, Any]


@contextmanager
def received(request: Request, services: Services) -> Iterator[Upload]:
    """Yields the request's song; receives the body unless the server has. The file is deleted at the end of the
    block."""
    with ExitStack() as files:
        body = request.environ.get(RECEIVED)
        if body is None:
            body = expected(request, services)
            files.callback(body.close)
            body.read_from(request)
        song, given = _song_and_options(request, services, body, files)
        if song is not None:
            if song.size == 0:
                raise BadRequest("the song is empty: it has 0 bytes", code="empty_file")
            song.seek(0)
        yield Upload(song, given)


def expected(request: Request, services: Services) -> Body:
    """An empty Body of the request's kind. Raises to reject the request unread: UnsupportedBody, UploadTooLarge,
    InvalidOption, ScratchFull."""
    kind = _kind(request)
    if kind is not Kind.RAW:
        _refuse_query(request, f"the {kind.value}")
    options = services.options
    limit = _limit_bytes(kind, options.max_upload_bytes)
    body = Body(request.content_length, limit, options.max_upload_bytes)
    # a bare file is the song itself: hashed while it arrives, it need not be read again
    make = Spool if kind is Kind.RAW else Scratch
    return body.put_into(make(options.scratch_dir, limit))


def _kind(request: Request) -> Kind:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedBody("compressed bodies (Content-Encoding) are not supported; send the song uncompressed")
    kind = request.mimetype
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return Kind.JSON
    if kind == "multipart/form-data":
        return Kind.FORM
    # `curl -T` sends no type
    if not kind or kind in RAW_TYPES or kind.startswith(RAW_FAMILIES):
        return Kind.RAW
    raise UnsupportedBody(f"unsupported Content-Type {kind[:80]!r}; " + HINT.format(url=request.base_url))


def _limit_bytes(kind: Kind, song_limit_bytes: int) -> int:
    if kind is Kind.JSON:
        return json_limit_bytes(song_limit_bytes)
    return song_limit_bytes + (FORM_FIELDS_BYTES if kind is Kind.FORM else 0)


def _song_and_options(
    request: Request, services: Services, body: Body, files: ExitStack
) -> tuple[Spool | None, dict[str, Any]]:
    if isinstance(body.scratch, Spool):
        return body.scratch, _with_callback(_flat(request.args))
    if _kind(request) is Kind.JSON:
        return _song_of_json(services, body, files)
    return _song_of_form(request, services, body, files)


def _new_song(services: Services, files: ExitStack) -> Spool:
    spool = Spool(services.options.scratch_dir, services.options.max_upload_bytes)
    files.callback(spool.close)
    return spool


# --- JSON


def json_limit_bytes(song_limit_bytes: int) -> int:
    """The longest body for a song: 4/3, a tenth more for escaped line breaks and slashes, and the options."""
    return song_limit_bytes * 4 * 11 // 30 + REST_LIMIT_BYTES


def _song_of_json(services: Services, body: Body, files: ExitStack) -> tuple[Spool | None, dict[str, Any]]:
    text = body.scratch
    given, where = split_body(text.file)
    if where is None:
        return None, given
    song = _new_song(services, files)
    with services.base64_gate.place(caller().account):
        decode_song(text.file, where, song.write)
    text.close()  # half of the request's disk space
    return song, given


# --- multipart


def _song_of_form(request: Request, services: Services, body: Body, files: ExitStack) -> tuple[Spool, dict[str, Any]]:
    form = _read_form(request, body, lambda: _new_song(services, files))
    for name in form.files:
        if name != "file":
            raise InvalidOption(f"the form has a file named {str(name)[:40]!r}; the song must be named file")
    songs = form.files.getlist("file")
    if len(songs) > 1:
        raise BadRequest(f"the form has {len(songs)} files; a request takes one song", code="bad_multipart")
    if not songs:
        _refuse_fileless(form.fields)
    body.close()
    return songs[0], {FILENAME: form.filename} | _with_callback(_flat(form.fields))


def _read_form(request: Request, body: Body, new_song: Callable[[], Spool]) -> Form[Spool]:
    boundary = request.mimetype_params.get("boundary", "")
    try:
        return read_form(
            body.scratch.file.read, boundary, new_song, field_bytes=FORM_FIELDS_BYTES, max_parts=FORM_PARTS
        )
    except ValueError as error:
        raise BadRequest(f"the form cannot be read: {error}", code="bad_multipart") from error
    except RequestEntityTooLarge as error:
        raise UploadTooLarge(
            f"the form has more than {FORM_PARTS} parts, or more than {FORM_FIELDS_BYTES} bytes in a field"
            " (send the song as -F file=@song.mp3, with @)"
        ) from error


def _refuse_fileless(fields: MultiDict[str, str]) -> NoReturn:
    if "file" in fields:
        raise BadRequest("`file` is a text field, not a file; write -F file=@song.mp3, with @", code="missing_file")
    for name in fields:  # as in a form with a song
        if name not in (*REQUEST_NAMES, *BESIDE_OPTIONS):
            by_json = "; it is a member of a JSON body" if name in (ADDRESS, UPLOAD) else ""
            raise InvalidOption(f"the form has no `file`, and an unknown option {str(name)[:40]!r}{by_json}")
    raise BadRequest("the form has no `file`", code="missing_file")


# --- options


def _refuse_query(request: Request, place: str) -> None:
    for name in request.args:
        raise InvalidOption(f"{name[:40]!r} is in the query string; put the options of this request into {place}")


def _flat(values: MultiDict[str, str]) -> dict[str, Any]:
    """`stems=vocals&stems=drums` becomes a list; an option given once stays a text."""
    return {name: found[0] if len(found) == 1 else found for name, found in values.lists()}


def _with_callback(given: dict[str, Any]) -> dict[str, Any]:
    """Forms and query strings contain text only: their `callback` is JSON in a text."""
    text = given.get("callback")
    if not text:
        given.pop("callback", None)
        return given
    try:
        return given | {"callback": strict_json(text)}
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidOption(f"callback is not JSON: {error}") from error
