"""A job's waveforms as stored by its worker, partial while it runs."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Blueprint, Response, request

from msaas.audio.waveform import POINTS
from msaas.audio.waveform_detail import HEADER_BYTES, DetailHeader, coarse_part
from msaas.errors import InvalidOption, NotFound
from msaas.fields import canonical_json, decimal, json_object
from msaas.jobs import parse_songhash
from msaas.storage import Storage
from msaas.web.openapi.document import Answer, as_json, documented, header, query
from msaas.web.openapi.schemas import STORAGE_UNAVAILABLE
from msaas.web.services import current_services

calls = Blueprint("waveforms", __name__)

MAX_SECONDS, MAX_DIGITS = 1_000_000, 40
SECONDS = {"type": "number", "minimum": 0, "exclusiveMaximum": MAX_SECONDS}
KEPT_SECONDS = 86_400  # the same songhash always has the same waveforms


@calls.get("/apiv1/jobs/<songhash>/waveforms")
@documented(
    "Waveforms of the stems",
    "songs",
    description="Available while the job is running, for the part that is done. With `start` or `end`, of that part of "
    "the song only, in finer intervals once the job is done (of 256 samples or more), and with `start_sample` and "
    "`end_sample`.",
    parameters=[
        query("start", SECONDS, "seconds; 0 by default"),
        query("end", SECONDS, "seconds; the song's end by default"),
        header("If-None-Match", "an ETag; 304 if unchanged"),
    ],
    answers={
        200: Answer("The waveforms", as_json("Waveforms"), {"ETag": "hash of the content"}),
        304: Answer("Unchanged", headers={"ETag": "hash of the content"}),
    },
    problems={404: ["waveforms_unknown", "job_unknown"], 422: ["invalid_option"], 503: STORAGE_UNAVAILABLE},
)
def get_waveforms(songhash: str) -> Response:
    services = current_services()
    name = parse_songhash(songhash)
    given = _seconds("start"), _seconds("end")
    data = services.storage.read_waveforms(name)
    whole = None if data is None else _is_whole(data)
    if data is not None and whole is not None and given != (None, None):
        data = _part(services.storage, name, data, given)
    if data is None or whole is None:
        raise NotFound(f"job {name} has no waveforms, or not yet", code="waveforms_unknown")
    response = Response(data, content_type="application/json")
    response.headers["Cache-Control"] = f"private, max-age={KEPT_SECONDS}" if whole else "private, no-cache"
    response.set_etag(hashlib.sha256(data).hexdigest()[:32])
    response.make_conditional(request)
    return response


def _seconds(name: str) -> float | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        seconds = decimal(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < MAX_SECONDS or len(text) > MAX_DIGITS:
        raise InvalidOption(f"{name}={text[:40]!r} is not a number of seconds from 0 to {MAX_SECONDS}")
    return seconds


def _part(storage: Storage, songhash: str, data: bytes, given: tuple[float | None, float | None]) -> bytes | None:
    """The answer for a part of the song; None if what is stored is damaged. Raises InvalidOption for an empty part."""
    try:
        whole = json_object(data.decode())
        total, rate = int(whole["total_samples"]), int(whole["sample_rate"])
        start, end = round((given[0] or 0) * rate), total if given[1] is None else round(given[1] * rate)
        if start >= min(end, total):
            limit = min(end, total) / rate
            raise InvalidOption(f"start={start / rate:.9g} is not before the end, {limit:.9g} seconds")
        is_fine = whole["done_samples"] == total and 2 * (end - start) < total
        found = (_fine_part(storage, songhash, start, end) if is_fine else None) or coarse_part(whole, start, end)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None
    return canonical_json(whole | found).encode()


def _fine_part(storage: Storage, songhash: str, start: int, end: int) -> dict[str, Any] | None:
    """None if it is not stored, as for songs of older workers, or damaged."""
    header = DetailHeader.parse(storage.read_waveform_detail(songhash, 0, HEADER_BYTES) or b"")
    if header is None:
        return None
    first, count = header.span(start, end)
    data = storage.read_waveform_detail(songhash, *header.place(first, count))
    if data is None or len(data) != header.place(first, count)[1]:
        return None
    return header.part(data, first, POINTS)


def _is_whole(data: bytes) -> bool | None:
    """Whether the song was done by then; None if the stored object is not a waveform."""
    try:
        drawing = json_object(data.decode())
        return bool(drawing["done_samples"] == drawing["total_samples"])
    except (ValueError, KeyError):
        return None
