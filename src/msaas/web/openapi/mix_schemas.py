"""Schemas of mixes: the body of POST /apiv1/jobs/<songhash>/mix, and what a mix's job says of it."""

from __future__ import annotations

from msaas.formats import STEMS_FILE
from msaas.mixing.request import CALLBACK, LEVEL_MEMBERS, MAX_GAIN_DB, MIN_GAIN_DB, OUTPUT_MEMBERS, SILENT
from msaas.web.openapi.parts import Schema, an_object, nullable, ref
from msaas.web.openapi.request_schemas import OPTIONS
from msaas.web.openapi.schemas import FORMAT

GAIN: Schema = {"type": "number", "minimum": MIN_GAIN_DB, "maximum": MAX_GAIN_DB}
PAN: Schema = {"type": "number", "minimum": -1, "maximum": 1}
FORMATS: Schema = {**FORMAT, "enum": [name for name in FORMAT["enum"] if name != STEMS_FILE]}

LEVEL: Schema = an_object(
    {
        "gain_db": {
            "oneOf": [GAIN, {"const": SILENT}],
            "default": 0,
            "description": f"decibels; `{SILENT}` is silence",
        },
        "pan": {**PAN, "default": 0, "description": "-1 is left, 1 is right; equal power, as StereoPannerNode"},
        "mute": {"type": "boolean", "default": False},
        "solo": {"type": "boolean", "default": False, "description": "stems that are not soloed are silent"},
    },
    *LEVEL_MEMBERS,
    additionalProperties=False,
)
_OUTPUT = {name: OPTIONS[name] for name in OUTPUT_MEMBERS} | {
    "format": {**FORMATS, "description": "the mix is one track: stems.m4a does not apply"},
    "sample_rate": {**OPTIONS["sample_rate"], "description": "Hz, or `source` for the song's own; default: the stems'"},
}
MIX_REQUEST: Schema = an_object(
    {
        "levels": {
            "type": "object",
            "additionalProperties": ref("Level"),
            "description": "by stem; a stem that is not named is heard as it is",
        }
    }
    | _OUTPUT
    | {CALLBACK: ref("Callback")},
    *("levels", *_OUTPUT, CALLBACK),
    additionalProperties=False,
)
MIX_BODY: Schema = {
    "required": True,
    "description": "The levels of the stems, and how the mix is saved. `{}` is all stems as they are, as MP3.",
    "content": {
        "application/json": {
            "schema": ref("MixRequest"),
            "example": {"levels": {"vocals": {"gain_db": -6, "pan": 0.3}, "drums": {"mute": True}}, "format": "flac"},
        }
    },
}
OF_MIX: Schema = an_object(
    {
        "of": ref("Songhash"),
        "levels": {
            "type": "object",
            "additionalProperties": an_object({"gain_db": GAIN, "pan": PAN}),
            "description": "the stems that are heard; others are silent",
        },
        "format": FORMATS,
        "bitrate": nullable("integer"),
        "bit_depth": nullable("string"),
        "sample_rate": {"enum": [None, *OPTIONS["sample_rate"]["enum"]], "description": "null: that of the stems"},
        "mono": {"type": "boolean"},
        "start": nullable("number"),
        "end": nullable("number"),
        "gain_db": nullable("number", description="by which the mix was turned down so that it does not clip; else 0"),
        "true_peak_dbtp": nullable("number", description="before that gain; null until done, and for silence"),
    },
    description="What a mix is made of. `gain_db` is null until the mix is done.",
)
MIX_SCHEMAS: dict[str, Schema] = {"Level": LEVEL, "MixRequest": MIX_REQUEST, "Mix": OF_MIX}
