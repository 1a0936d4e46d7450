"""Schemas of the body of POST /apiv1/separate. Opens nothing."""

from __future__ import annotations

from msaas.formats import BITRATES, DEPTH_NAMES, FORMATS, SAMPLE_RATES, WITH_BITRATES, WITH_DEPTHS
from msaas.jobs import PRIORITIES
from msaas.options import MAX_OVERLAP, MAX_SECONDS, MAX_SHIFTS, MAX_STEMS, QUALITIES
from msaas.web.openapi.parts import Schema, an_object, ref
from msaas.web.openapi.schemas import FORMAT, STEM
from msaas.web.uploads.callback import MAX_URL

BITRATE: Schema = {
    "type": "integer",
    "enum": list(BITRATES),
    "description": f"kb/s; for {WITH_BITRATES} only: "
    + "; ".join(f"{one.name} {', '.join(map(str, one.bitrates))}" for one in FORMATS.values() if one.bitrates)
    + f"; default: {', '.join(f'{one.default_bitrate} for {one.name}' for one in FORMATS.values() if one.bitrates)}",
}

OPTIONS: dict[str, Schema] = {
    "model": {"type": "string", "description": "one of MSAAS_MODELS; default: MSAAS_MODEL"},
    "stems": {"description": "stems to return; default: all stems of the model"},
    "two_stems": {
        **STEM,
        "description": "returns this stem and no_<stem>, the mixture without it; not together with stems",
    },
    "format": {**FORMAT, "description": ", ".join(one.label for one in FORMATS.values())},
    "bitrate": BITRATE,
    "sample_rate": {
        "enum": list(SAMPLE_RATES),
        "description": "Hz, or `source` for the song's own, with exactly its samples; default: the model's; opus is "
        "always at 48000",
    },
    "bit_depth": {
        "type": "string",
        "enum": list(DEPTH_NAMES),
        "description": f"of a sample, for {WITH_DEPTHS} only: "
        + "; ".join(f"{one.name} {', '.join(one.depths)}" for one in FORMATS.values() if one.depths)
        + "; default: the first",
    },
    "start": {
        "type": "number",
        "minimum": 0,
        "maximum": MAX_SECONDS,
        "description": "seconds: only the song from here on, cut at the nearest sample; default: its start",
    },
    "end": {
        "type": "number",
        "minimum": 0,
        "maximum": MAX_SECONDS,
        "description": "seconds: only the song up to here; after the song's end it has no effect; default: its end",
    },
    "mono": {"type": "boolean", "default": False, "description": "one channel, the mean of both"},
    "quality": {
        "type": "string",
        "enum": list(QUALITIES),
        "description": "stands for other options, listed by GET /apiv1/models; options given themselves win",
    },
    "overlap": {
        "type": "number",
        "minimum": 0,
        "maximum": MAX_OVERLAP,
        "description": "overlap of neighbouring segments, as a fraction of one; default: the model's own",
    },
    "shifts": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_SHIFTS,
        "description": "number of runs over the song, each shifted by up to half a second, whose results are averaged; "
        "0 is one run that is not shifted",
    },
    "refine": {
        "description": "stems, and for each the model that separates it further, into parts named `<stem>.<part>` that "
        "add up to it; the stem itself is kept",
    },
}
STEMS_AS_LIST: Schema = {"type": "array", "items": STEM, "maxItems": MAX_STEMS}
STEMS_AS_TEXT: Schema = {"type": "string", "examples": ["vocals,drums"]}
REFINE_AS_OBJECT: Schema = {"type": "object", "maxProperties": MAX_STEMS, "additionalProperties": {"type": "string"}}
REFINE_AS_TEXT: Schema = {"type": "string", "examples": ["drums=mdx23c_drumsep,vocals=mel_band_roformer_karaoke"]}
CALLBACK_AS_TEXT: Schema = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": ref("Callback"),
    "description": "a Callback as JSON",
}
SONG: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
ADDRESS: Schema = {
    "type": "string",
    "maxLength": MAX_URL,
    "description": "the song's address instead of its bytes: http or https, or `s3://<bucket>/<key>` in a bucket of "
    "MSAAS_FETCH_BUCKETS",
}


UPLOAD: Schema = {
    "type": "string",
    "maxLength": 64,
    "description": "the ID of a complete upload in parts, instead of the song's bytes",
}
FILENAME: Schema = {
    "type": "string",
    "description": "name of the song's file, for the names of saved files; a form's file has its own. Any text is "
    "accepted: directories, control characters and what no file system takes are removed",
    "examples": ["Harbour Lights.flac"],
}


PRIORITY: Schema = {
    "type": "string",
    "enum": list(PRIORITIES),
    "default": PRIORITIES[0],
    "description": "`low`: the song waits behind all songs that are not low; it is not part of the songhash",
}


def options_with(stems: Schema, refine: Schema, callback: Schema) -> dict[str, Schema]:
    options = OPTIONS | {"stems": OPTIONS["stems"] | stems, "refine": OPTIONS["refine"] | refine}
    return options | {"filename": FILENAME, "priority": PRIORITY, "callback": callback}


OPTIONS_IN_JSON = options_with(STEMS_AS_LIST, REFINE_AS_OBJECT, ref("Callback"))
OPTIONS_IN_TEXT = options_with(STEMS_AS_TEXT, REFINE_AS_TEXT, CALLBACK_AS_TEXT)

SONG_BODY: Schema = {
    "required": True,
    "description": "A song in any format that FFmpeg reads: as raw bytes, in a form, or in JSON as base64, by its "
    "address, or as an upload in parts.",
    "content": {
        "audio/*": {"schema": SONG},
        "video/*": {"schema": SONG},
        "application/octet-stream": {"schema": SONG},
        "multipart/form-data": {
            "schema": an_object({"file": SONG} | OPTIONS_IN_TEXT, *OPTIONS_IN_TEXT, additionalProperties=False)
        },
        "application/json": {
            "schema": an_object(
                {"mp3": {"type": "string", "contentEncoding": "base64"}, "url": ADDRESS, "upload": UPLOAD}
                | OPTIONS_IN_JSON,
                *("mp3", "url", "upload", *OPTIONS_IN_JSON),
                oneOf=[{"required": ["mp3"]}, {"required": ["url"]}, {"required": ["upload"]}],
                additionalProperties=False,
            )
        },
    },
}
