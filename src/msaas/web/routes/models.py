"""What a request may ask for: models with their stems and licences, formats, limits. Loads no model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify

from msaas.formats import FORMATS, MP3_BITRATES, Format
from msaas.options import Options
from msaas.queue.pace import of_model
from msaas.web.eta import seconds_until_free
from msaas.web.models import facts_of, offered_models, sources_of
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
    """`sources` is null for a model of the operator's own until a worker has loaded it."""
    services = current_services()
    options, workers, pace = services.options, services.queue.workers(), services.queue.pace()
    line = workers.runnable(services.queue.line(services.queue.counts().waiting))
    return jsonify(
        default=options.model,
        models=[
            {
                "name": name,
                "sources": sources_of(services, name),
                "workers": workers.offering(name),
                "waiting_for": workers.why_waiting(name),
                "seconds_per_audio_second": of_model(pace, "seconds_per_audio_second", name),
            }
            | facts_of(name)
            for name in offered_models(services)
        ],
        qualities={name: _described(quality, options.model) for name, quality in options.qualities.items()},
        seconds_per_audio_second=pace.get("seconds_per_audio_second"),
        seconds_until_free=seconds_until_free(line, workers=workers.ready, pace=pace, now=time.time()),
        formats=list(FORMATS),
        bitrates=MP3_BITRATES,
        format_choices={one.name: _choices(one) for one in FORMATS.values()},
        limits={"upload_bytes": options.max_upload_bytes, "duration_seconds": options.max_duration_seconds},
    )


def _choices(one: Format) -> dict[str, Any]:
    return {
        "bitrates": one.bitrates,
        "default_bitrate": one.default_bitrate or None,
        "bit_depths": one.depths,
        "sample_rates": one.rates or None,
    }


def _described(quality: Mapping[str, Any], default_model: str) -> dict[str, Any]:
    options = Options.parse(quality, default_model=default_model, allowed=(quality.get("model", default_model),))
    return {
        "model": options.model,
        "overlap": options.overlap,
        "shifts": options.shifts,
        "work": round(options.work, 2),
    }
