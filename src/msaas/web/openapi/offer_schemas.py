"""What a request may choose: models, qualities and formats, as JSON Schema. No I/O."""

from __future__ import annotations

from msaas.catalogue.records import SPEEDS
from msaas.web.openapi.parts import NAMES, Schema, an_object, nullable, ref

OFFER_SCHEMAS: dict[str, Schema] = {
    "Offer": an_object(
        {
            "default": {"type": "string", "description": "the model used if a request chooses none"},
            "models": {"type": "array", "items": ref("Model")},
            "qualities": {"type": "object", "additionalProperties": ref("Quality")},
            "seconds_per_audio_second": nullable(
                "number",
                description="seconds that the latest songs took per second of audio and of `work`; null before any",
            ),
            "seconds_until_free": nullable(
                "number",
                description="seconds until a worker is free for another song, by the songs that wait; null before any",
            ),
            "formats": NAMES,
            "bitrates": {"type": "array", "items": {"type": "integer"}, "description": "kb/s, of mp3"},
            "format_choices": {"type": "object", "additionalProperties": ref("FormatChoice")},
            "limits": an_object({"upload_bytes": {"type": "integer"}, "duration_seconds": {"type": "number"}}),
        }
    ),
    "FormatChoice": an_object(
        {
            "bitrates": {"type": "array", "items": {"type": "integer"}, "description": "kb/s; empty without bit rates"},
            "default_bitrate": nullable("integer"),
            "bit_depths": {**NAMES, "description": "the first is the default; empty for a lossy format"},
            "sample_rates": {
                "oneOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}],
                "description": "Hz; null for any",
            },
        },
        description="What a format can hold.",
    ),
    "Quality": an_object(
        {
            "model": {"type": "string"},
            "overlap": nullable("number", description="null for the model's own"),
            "shifts": {"type": "integer"},
            "work": {"type": "number", "description": "the model's work, compared with the default options"},
        },
        description="The options that a quality stands for.",
    ),
    "Model": an_object(
        {
            "name": {"type": "string"},
            "sources": {
                "oneOf": [NAMES, {"type": "null"}],
                "description": "its stems; null for a model of the operator's own until a worker has loaded it",
            },
            "workers": {"type": "integer", "minimum": 0, "description": "number of workers that offer it now"},
            "waiting_for": {
                "oneOf": [ref("WaitingFor"), {"type": "null"}],
                "description": "why no worker runs it now; its songs wait",
            },
            "seconds_per_audio_second": nullable(
                "number",
                description="the same as in Offer, of the model's own songs; before any of them, of all songs",
            ),
            "refines": {**NAMES, "description": "the stems that it is made to separate further (`refine`)"},
            "family": nullable(
                "string",
                description="its architecture; null, as all that follows, for a model that is not in the catalogue",
            ),
            "summary": nullable("string", description="one sentence: for whom it is"),
            "licence": {"oneOf": [ref("Licence"), {"type": "null"}]},
            "sdr": {"oneOf": [{"type": "array", "items": ref("Score")}, {"type": "null"}]},
            "speed": {"oneOf": [ref("Speed"), {"type": "null"}]},
            "bytes": nullable("integer", description="size of its weights; null if not stated"),
            "training": {"oneOf": [ref("Training"), {"type": "null"}]},
            "note": nullable("string"),
        },
        *("family", "summary", "licence", "sdr", "speed", "bytes", "training", "note"),
    ),
    "Licence": an_object(
        {
            "id": {"type": "string", "description": "of the weights: an SPDX identifier, or `not stated`"},
            "commercial": nullable("boolean", description="whether it allows use in commerce; null if not stated"),
            "statement": {"type": "string", "description": "what the document that states it says"},
            "note": {"type": "string"},
        },
        description="The licence of a model's weights. docs/models.md has the rules.",
    ),
    "Score": an_object(
        {
            "benchmark": {"type": "string"},
            "mean": nullable("number"),
            "stems": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        description="A published signal-to-distortion ratio, in dB.",
    ),
    "Speed": an_object(
        {name: nullable("string", enum=[*SPEEDS, None]) for name in ("cpu", "gpu")},
        description="Its class on a CPU and on a GPU; null if not measured.",
    ),
    "Training": an_object(
        {"by": nullable("string"), "data": nullable("string")}, description="Who trained it on what; null: not stated."
    ),
}
