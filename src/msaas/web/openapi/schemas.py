"""What the API takes and answers, as JSON Schema (2020-12): what openapi.json is put together from. No I/O."""

from __future__ import annotations

from typing import Any

from msaas.errors import JOB_CODES, PROBLEM_CODES, WAIT_CODES, WARNING_CODES
from msaas.jobs import EXTENSIONS, MP3_BITRATES, STEM_NAME, State
from msaas.web.uploads.callback import LONGEST_URL

Schema = dict[str, Any]

BODY_CODES = ("bad_json", "bad_base64", "bad_multipart", "bad_chunks", "missing_mp3", "missing_file", "empty_file")
AUDIO_CODES = ("bad_audio", "not_audio", "audio_too_long", "decoded_too_large")
QUEUE_AWAY = ("queue_unavailable",)
STORAGE_AWAY = ("storage_unavailable", "storage_refused", "object_damaged")
EITHER_AWAY = QUEUE_AWAY + STORAGE_AWAY


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


def an_object(properties: Schema, *optional: str, **more: Any) -> Schema:
    """All members are there, but for the optional ones. Members that are not named may come with a later version."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


SONGHASH: Schema = {
    "type": "string",
    "format": "uuid",
    "description": "A job's name, made of the song's bytes and the options: the same song is the same job.",
    "examples": ["00000000-0000-5000-8000-000000000001"],
}
STEM: Schema = {"type": "string", "pattern": f"^{STEM_NAME.pattern}$", "examples": ["vocals"]}
STATE: Schema = {"type": "string", "enum": [state.value for state in State]}
MOMENT: Schema = nullable("string", format="date-time", description="ISO 8601, UTC")
FORMAT: Schema = {"type": "string", "enum": list(EXTENSIONS), "default": "mp3"}
BITRATE: Schema = {
    "type": "integer",
    "enum": list(MP3_BITRATES),
    "default": 320,
    "description": "kb/s; for mp3 only",
}
STRETCHES: Schema = {"type": "string", "contentEncoding": "base64"}
NAMES: Schema = {"type": "array", "items": {"type": "string"}}
SONGHASHES: Schema = {"type": "array", "items": ref("Songhash")}
CALLBACK = an_object(
    {
        "url": {"type": "string", "format": "uri", "maxLength": LONGEST_URL, "description": "http or https"},
        "data": {"description": "handed back as it came"},
    },
    "data",
    additionalProperties=False,
    description="Called once the job has ended, at once where it has ended already.",
)

PROBLEM = an_object(
    {
        "type": {"type": "string", "format": "uri-reference", "const": "about:blank"},
        "title": {"type": "string", "description": "the status' own phrase"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "for people: what, which, and the limit"},
        "code": {"type": "string", "enum": list(PROBLEM_CODES), "description": "for programs"},
    },
    description="RFC 9457. Some codes bring further members.",
)

JOB = an_object(
    {
        "songhash": ref("Songhash"),
        "state": ref("State"),
        "stage": {"type": "string", "description": "what a run is at", "examples": ["separating"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "queue_position": nullable("integer", minimum=0, description="songs ahead; null unless queued"),
        "eta_seconds": nullable("number", minimum=0, description="until it is done; null where nobody can tell"),
        "waiting_for": {
            "oneOf": [ref("WaitingFor"), {"type": "null"}],
            "description": "of a queued job that nobody can run just now: what has to come first",
        },
        "attempts": {"type": "integer", "minimum": 0, "description": "runs so far"},
        "error": {"oneOf": [ref("JobError"), {"type": "null"}], "description": "of a failed job only"},
        "warnings": {
            "type": "array",
            "items": ref("JobWarning"),
            "description": "what was amiss with the song, or had to be done to it; empty until the job is done",
        },
        "model": nullable("string", description="the one that ran; before that the one asked for"),
        "options": {"oneOf": [ref("Options"), {"type": "null"}], "description": "null for a job pushed by hand"},
        "duration_seconds": nullable("number", description="as decoded; before that as the song declares"),
        "stems": {
            "type": "object",
            "additionalProperties": {"type": "string", "format": "uri-reference"},
            "description": "stem ▸ where it is; empty until the job is done",
        },
        "timings": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "seconds, by what took them",
        },
        "created_at": MOMENT,
        "started_at": MOMENT,
        "finished_at": MOMENT,
        "callbacks": {
            "type": "array",
            "items": ref("CallbackState"),
            "description": "the newest, there only where one was asked for",
        },
        "message": {"type": "string", "description": "there only where there is something to say"},
    },
    "callbacks",
    "message",
    description="One song's way through the service.",
)

SCHEMAS: dict[str, Schema] = {
    "Songhash": SONGHASH,
    "State": STATE,
    "Problem": PROBLEM,
    "Job": JOB,
    "JobError": an_object(
        {"code": {"type": "string", "enum": list(JOB_CODES)}, "detail": {"type": "string"}},
        description="\n".join(f"- `{code}`: {meaning}" for code, meaning in JOB_CODES.items()),
    ),
    "WaitingFor": an_object(
        {"code": {"type": "string", "enum": list(WAIT_CODES)}, "detail": {"type": "string"}},
        description="\n".join(f"- `{code}`: {meaning}" for code, meaning in WAIT_CODES.items()),
    ),
    "JobWarning": an_object(
        {"code": {"type": "string", "enum": list(WARNING_CODES)}, "detail": {"type": "string"}},
        description="\n".join(f"- `{code}`: {meaning}" for code, meaning in WARNING_CODES.items()),
    ),
    "Options": an_object(
        {
            "model": {"type": "string"},
            "stems": {"oneOf": [NAMES, {"type": "null"}], "description": "null: all of the model's"},
            "two_stems": nullable("string"),
            "format": {"type": "string", "enum": list(EXTENSIONS)},
            "bitrate": nullable("integer", description="kb/s; null where the format has none"),
        },
        description="As the job has them, defaults filled in.",
    ),
    "Callback": CALLBACK,
    "CallbackState": an_object(
        {
            "id": {"type": "string", "description": "the webhook-id that it is sent with"},
            "to": {"type": "string", "description": "the receiver's scheme, host and port"},
            "state": {"type": "string"},
            "attempts": {"type": "integer"},
            "last_error": nullable("string"),
            "next_attempt_at": MOMENT,
            "posted_at": MOMENT,
            "ended_at": MOMENT,
        }
    ),
    "Accepted": an_object(
        {
            "songhash": ref("Songhash"),
            "message": {"type": "string"},
            "state": ref("State"),
            "links": an_object({name: {"type": "string"} for name in ("job", "events", "stems_zip")}),
        }
    ),
    "Links": an_object(
        {
            "expires_at": MOMENT,
            "stems": {
                "type": "object",
                "additionalProperties": {"type": "string", "format": "uri-reference"},
                "description": "stem ▸ where it is",
            },
            "stems_zip": {"type": "string", "format": "uri-reference"},
        }
    ),
    "Queue": an_object(
        {
            "queue": {**SONGHASHES, "description": "what waits, head first: one page"},
            "total": {"type": "integer", "description": "how many wait in all"},
            "offset": {"type": "integer"},
            "limit": {"type": "integer"},
            "in_work": SONGHASHES,
            # what was pushed by hand and is no songhash lands among the dead
            "dead": {**NAMES, "description": "given up, the latest first"},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "troubles": {**NAMES, "description": "what keeps workers from starting songs, in words"},
        }
    ),
    "Buckets": an_object(
        {
            "input-tracks": NAMES,
            "output-tracks": NAMES,
            "truncated": {**NAMES, "description": "the buckets whose list is cut; there only where one is"},
        },
        "truncated",
    ),
    "Waveforms": an_object(
        {
            "version": {"type": "integer"},
            "sample_rate": {"type": "integer", "description": "Hz"},
            "total_samples": {"type": "integer", "description": "of each stem"},
            "done_samples": {"type": "integer", "description": "fewer than that while the song is in work"},
            "stems": {"type": "object", "additionalProperties": ref("Waveform")},
        },
        description="How loud each of up to 2000 equal stretches of each stem is.",
    ),
    "Waveform": an_object(
        {
            "peak": {**STRETCHES, "description": "the largest sample of each stretch"},
            "rms": {**STRETCHES, "description": "the root of the mean square of each stretch"},
        },
        description="A byte a stretch: 0 is silence, or not made yet, 255 is full scale.",
    ),
    "Removed": an_object({"message": {"type": "string"}, "removed": NAMES}),
    "Emptied": an_object({"message": {"type": "string"}, "deleted": {"type": "integer"}}),
    "Status": an_object({"status": {"const": "ok"}}),
    "Readiness": an_object(
        {
            "status": {"const": "ok"},
            "redis": {"const": "ok"},
            "s3": {"const": "ok"},
            "workers": {"type": "integer", "minimum": 0, "description": "that are ready"},
            "models": {
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 0},
                "description": "model that a request may name ▸ how many workers offer it",
            },
        }
    ),
    "Index": an_object({"name": {"type": "string"}, "calls": {"type": "object"}}),
    "Offer": an_object(
        {
            "default": {"type": "string", "description": "the model of a request that names none"},
            "models": {"type": "array", "items": ref("Model")},
            "formats": NAMES,
            "bitrates": {"type": "array", "items": {"type": "integer"}},
            "limits": an_object({"upload_bytes": {"type": "integer"}, "duration_seconds": {"type": "number"}}),
        }
    ),
    "Model": an_object(
        {
            "name": {"type": "string"},
            "sources": {
                "oneOf": [NAMES, {"type": "null"}],
                "description": "what it separates; null until a worker has loaded it",
            },
            "workers": {"type": "integer", "minimum": 0, "description": "how many offer it now"},
        }
    ),
}

# what a callback is sent: the job as it ended, without what belongs to one that goes on
_SENT = (
    *("songhash", "state", "stems", "error", "warnings", "model", "options", "duration_seconds", "attempts", "timings"),
    *("created_at", "started_at", "finished_at"),
)
SCHEMAS["Called"] = an_object(
    {
        "type": {"type": "string", "enum": ["job.done", "job.failed", "job.cancelled"]},
        "timestamp": MOMENT,
        "job": {"type": "string", "format": "uri-reference"},
        "data": {"description": "the callback's own, as it came"},
    }
    | {name: JOB["properties"][name] for name in _SENT},
    description="What a callback is sent, signed as Standard Webhooks says.",
)

# --- what a song comes in

OPTIONS: dict[str, Schema] = {
    "model": {"type": "string", "description": "one that this service offers (MSAAS_MODELS); its default if not given"},
    "stems": {"description": "only these of the model's stems; all of them if not given"},
    "two_stems": {**STEM, "description": "this stem, and no_<stem>, the mix without it; excludes stems"},
    "format": {**FORMAT, "description": "mp3, flac (24 bit) or wav (32-bit float)"},
    "bitrate": BITRATE,
}
STEMS_AS_LIST: Schema = {"type": "array", "items": STEM, "maxItems": 32}
STEMS_AS_TEXT: Schema = {"type": "string", "examples": ["vocals,drums"]}
CALLBACK_AS_TEXT: Schema = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": ref("Callback"),
    "description": "a callback as JSON",
}
SONG: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}


def options_with(stems: Schema, callback: Schema) -> dict[str, Schema]:
    return OPTIONS | {"stems": OPTIONS["stems"] | stems, "callback": callback}


OPTIONS_IN_JSON = options_with(STEMS_AS_LIST, ref("Callback"))
OPTIONS_IN_TEXT = options_with(STEMS_AS_TEXT, CALLBACK_AS_TEXT)

SONG_BODY: Schema = {
    "required": True,
    "description": "A song in any format that FFmpeg reads: as it is, as a form, or in base64 as JSON.",
    "content": {
        "audio/*": {"schema": SONG},
        "video/*": {"schema": SONG},
        "application/octet-stream": {"schema": SONG},
        "multipart/form-data": {
            "schema": an_object({"file": SONG} | OPTIONS_IN_TEXT, *OPTIONS_IN_TEXT, additionalProperties=False)
        },
        "application/json": {
            "schema": an_object(
                {"mp3": {"type": "string", "contentEncoding": "base64"}} | OPTIONS_IN_JSON,
                *OPTIONS_IN_JSON,
                additionalProperties=False,
            )
        },
    },
}
