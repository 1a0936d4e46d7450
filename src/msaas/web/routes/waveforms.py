"""The stems' outlines of a job, as its worker left them: partial ones while it runs. Draws nothing, decodes nothing."""

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

KEPT_SECONDS = 86_400  # the same songhash is always the same drawing


@calls.get("/apiv1/jobs/<songhash>/waveforms")
@documented(
    "The outlines of a song's stems, to draw",
    "songs",
    description="There while the song is in work, too, as far as it is done.",
    parameters=[header("If-None-Match", "an ETag; 304 where the drawing is the same")],
    answers={
        200: Answer("The outlines", as_json("Waveforms"), {"ETag": "of the drawing"}),
        304: Answer("Unchanged", headers={"ETag": "of the drawing"}),
    },
    problems={404: ["waveforms_unknown", "job_unknown"], 503: STORAGE_AWAY},
)
def get_waveforms(songhash: str) -> Response:
    parts = services()
    name = parse_songhash(songhash)
    data = parts.storage.read_waveforms(name)
    if data is None:
        raise NotFound(f"there are no waveforms of job {name}, or not yet", code="waveforms_unknown")
    response = Response(data, content_type="application/json")
    response.headers["Cache-Control"] = f"private, max-age={KEPT_SECONDS}" if _is_whole(data) else "private, no-cache"
    response.set_etag(hashlib.sha256(data).hexdigest()[:32])
    response.make_conditional(request)
    return response


def _is_whole(data: bytes) -> bool:
    drawing = json.loads(data)
    return bool(drawing["done_samples"] == drawing["total_samples"])
