"""A job's waveforms as stored by its worker, partial while it runs."""

from __future__ import annotations

import hashlib
import json

from flask import Blueprint, Response, request

from msaas.errors import NotFound
from msaas.jobs import parse_songhash
from msaas.web.openapi.document import Answer, as_json, documented, header
from msaas.web.openapi.schemas import STORAGE_AWAY
from msaas.web.services import services

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
    problems={404: ["waveforms_unknown", "job_unknown"], 503: STORAGE_AWAY},
)
def get_waveforms(songhash: str) -> Response:
    parts = services()
    name = parse_songhash(songhash)
    data = parts.storage.read_waveforms(name)
    if data is None:
        raise NotFound(f"job {name} has no waveforms, or not yet", code="waveforms_unknown")
    response = Response(data, content_type="application/json")
    response.headers["Cache-Control"] = f"private, max-age={KEPT_SECONDS}" if _is_whole(data) else "private, no-cache"
    response.set_etag(hashlib.sha256(data).hexdigest()[:32])
    response.make_conditional(request)
    return response


def _is_whole(data: bytes) -> bool:
    drawing = json.loads(data)
    return bool(drawing["done_samples"] == drawing["total_samples"])
