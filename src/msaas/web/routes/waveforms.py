"""A job's waveforms as stored by its worker, partial while it runs."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, request

from msaas.errors import NotFound
from msaas.fields import json_object
from msaas.jobs import parse_songhash
from msaas.web.openapi.document import Answer, as_json, documented, header
from msaas.web.openapi.schemas import STORAGE_UNAVAILABLE
from msaas.web.services import current_services

calls = Blueprint("waveforms", __name__)

KEPT_SECONDS = 86_400  # the same songhash always has the same waveforms


@calls.get("/apiv1/jobs/<songhash>/waveforms")
@documented(
    "Waveforms of the stems",
    "songs",
    description="Available while the job is running, for the part that is done.",
    parameters=[header("If-None-Match", "an ETag; 304 if unchanged")],
    answers={
        200: Answer("The waveforms", as_json("Waveforms"), {"ETag": "hash of the content"}),
        304: Answer("Unchanged", headers={"ETag": "hash of the content"}),
    },
    problems={404: ["waveforms_unknown", "job_unknown"], 503: STORAGE_UNAVAILABLE},
)
def get_waveforms(songhash: str) -> Response:
    services = current_services()
    name = parse_songhash(songhash)
    data = services.storage.read_waveforms(name)
    whole = None if data is None else _is_whole(data)
    if data is None or whole is None:
        raise NotFound(f"job {name} has no waveforms, or not yet", code="waveforms_unknown")
    response = Response(data, content_type="application/json")
    response.headers["Cache-Control"] = f"private, max-age={KEPT_SECONDS}" if whole else "private, no-cache"
    response.set_etag(hashlib.sha256(data).hexdigest()[:32])
    response.make_conditional(request)
    return response


def _is_whole(data: bytes) -> bool | None:
    """Whether the song was done by then; None if the stored object is not a waveform."""
    try:
        drawing = json_object(data.decode())
        return bool(drawing["done_samples"] == drawing["total_samples"])
    except (ValueError, KeyError):
        return None
