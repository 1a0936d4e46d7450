"""What a request may ask for: models, what each separates as far as known, formats, limits. Loads no model."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from msaas.formats import FORMATS, MP3_BITRATES
from msaas.web.openapi.document import Answer, as_json, documented
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE
from msaas.web.services import current_services

calls = Blueprint("models", __name__)


@calls.get("/apiv1/models")
@documented(
    "Models, formats and limits",
    "songs",
    answers={200: Answer("What a request may choose", as_json("Offer"))},
    problems={503: QUEUE_UNAVAILABLE},
)
def get_models() -> Response:
    """`sources` is null until a worker has loaded that model."""
    services = current_services()
    options, workers = services.options, services.queue.workers()
    return jsonify(
        default=options.model,
        models=[
            {"name": name, "sources": services.queue.model_sources(name), "workers": workers.offering(name)}
            for name in options.allowed_models
        ],
        formats=list(FORMATS),
        bitrates=MP3_BITRATES,
        limits={"upload_bytes": options.max_upload_bytes, "duration_seconds": options.max_duration_seconds},
    )
