"""Schemas of the body of POST /apiv1/batches. Opens nothing."""

from __future__ import annotations

from typing import Any

from msaas.jobs import LOW, PRIORITIES
from msaas.web.batches.body import MAX_SONGS
from msaas.web.openapi.parts import Schema, an_object, ref
from msaas.web.openapi.request_schemas import ADDRESS, OPTIONS_IN_JSON, UPLOAD

JOB: Schema = {**ref("Songhash"), "description": "a job whose stored song is separated again, with these options"}
OPTIONS = {name: schema for name, schema in OPTIONS_IN_JSON.items() if name != "priority"}
SONG = an_object(
    {"url": ADDRESS, "upload": UPLOAD, "job": JOB} | OPTIONS,
    *("url", "upload", "job", *OPTIONS),
    oneOf=[{"required": ["url"]}, {"required": ["upload"]}, {"required": ["job"]}],
    additionalProperties=False,
)
PRIORITY: Schema = {"type": "string", "enum": list(PRIORITIES), "default": LOW}
COMMON = an_object(OPTIONS, *OPTIONS, additionalProperties=False, description="for all songs; a song's own win")
BATCH_BODY: Schema = {
    "required": True,
    "content": {
        "application/json": {
            "example": {"songs": [{"job": "00000000-0000-5000-8000-000000000001"}], "options": {"format": "flac"}},
            "schema": an_object(
                {
                    "songs": {"type": "array", "minItems": 1, "maxItems": MAX_SONGS, "items": SONG},
                    "options": COMMON,
                    "priority": PRIORITY,
                    "callback": ref("Callback"),
                },
                *("options", "priority", "callback"),
                additionalProperties=False,
            ),
        }
    },
}
BATCH_CALLED: dict[str, Any] = {
    "ended": {
        "{$request.body#/callback/url}": {
            "post": {
                "summary": "The batch has ended",
                "requestBody": {"content": {"application/json": {"schema": ref("BatchCalled")}}},
                "responses": {"2XX": {"description": "delivered; any other response is retried later"}},
            }
        }
    }
}
