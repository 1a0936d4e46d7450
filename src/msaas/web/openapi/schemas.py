"""Requests and responses of the API as JSON Schema (2020-12), for openapi.json. No I/O."""

from __future__ import annotations

from msaas.error_codes import JOB_CODES, PROBLEM_CODES, WAIT_CODES, WARNING_CODES
from msaas.formats import DEFAULT_FORMAT, DEPTH_NAMES, FORMATS, SAMPLE_RATES
from msaas.jobs import PRIORITIES, State
from msaas.options import STEM_NAME
from msaas.song_names import MAX_TAG_CHARS, TAG_NAMES
from msaas.web.openapi.analysis_schemas import ANALYSIS_SCHEMAS
from msaas.web.openapi.batch_schemas import BATCH_SCHEMAS
from msaas.web.openapi.offer_schemas import OFFER_SCHEMAS
from msaas.web.openapi.parts import NAMES, Schema, an_object, nullable, ref
from msaas.web.uploads.callback import MAX_URL

BODY_CODES = ("bad_json", "bad_base64", "bad_multipart", "bad_chunks", "missing_mp3", "missing_file", "empty_file")
AUDIO_CODES = ("bad_audio", "not_audio", "audio_too_long", "decoded_too_large")
QUEUE_UNAVAILABLE = ("queue_unavailable",)
STORAGE_UNAVAILABLE = ("storage_unavailable", "storage_refused", "object_damaged")
STORES_UNAVAILABLE = QUEUE_UNAVAILABLE + STORAGE_UNAVAILABLE


SONGHASH: Schema = {
    "type": "string",
    "format": "uuid",
    "description": "A job's ID, derived from the song's bytes and the options.",
    "examples": ["00000000-0000-5000-8000-000000000001"],
}
STEM: Schema = {"type": "string", "pattern": f"^{STEM_NAME.pattern}$", "examples": ["vocals"]}
STATE: Schema = {"type": "string", "enum": [state.value for state in State]}
TIMESTAMP: Schema = nullable("string", format="date-time", description="ISO 8601, UTC")
FORMAT: Schema = {"type": "string", "enum": list(FORMATS), "default": DEFAULT_FORMAT}
INTERVALS: Schema = {"type": "string", "contentEncoding": "base64"}
SONGHASHES: Schema = {"type": "array", "items": ref("Songhash")}
CALLBACK = an_object(
    {
        "url": {"type": "string", "format": "uri", "maxLength": MAX_URL, "description": "http or https"},
        "data": {"description": "any JSON value, returned unchanged in the callback"},
    },
    "data",
    additionalProperties=False,
    description="Called once when the job has ended; at once if it has already ended.",
)

PROVISIONAL: Schema = {
    "const": True,
    "description": "the song is fetched first: `songhash` is an ID that leads to the song's job; else missing",
}

PROBLEM = an_object(
    {
        "type": {"type": "string", "format": "uri-reference", "const": "about:blank"},
        "title": {"type": "string", "description": "the status code's phrase"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "explanation for people"},
        "code": {"type": "string", "enum": list(PROBLEM_CODES), "description": "for programs"},
    },
    description="RFC 9457. Some codes have additional members.",
)

SONG_NAME: Schema = nullable(
    "string",
    description="what saved files are called: `Artist - Title` by the song's tags, else the name of its file; null if "
    "nothing is known",
    examples=["Artist - Title"],
)
TAGS: Schema = {
    "type": "object",
    "properties": {name: {"type": "string", "maxLength": MAX_TAG_CHARS} for name in TAG_NAMES},
    "additionalProperties": False,
    "description": "the tags that the song's file has, each as one line",
}
JOB = an_object(
    {
        "songhash": ref("Songhash"),
        "state": ref("State"),
        "name": SONG_NAME,
        "tags": TAGS,
        "stage": {"type": "string", "description": "current step of the run", "examples": ["separating"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "queue_position": nullable("integer", minimum=0, description="number of songs ahead; null unless queued"),
        "eta_seconds": nullable(
            "number", minimum=0, description="estimated seconds until the job is done; null if unknown"
        ),
        "waiting_for": {
            "oneOf": [ref("WaitingFor"), {"type": "null"}],
            "description": "why no worker can run this queued job now; else null",
        },
        "priority": {"type": "string", "enum": list(PRIORITIES), "description": "`low`: it waits behind all others"},
        "attempts": {"type": "integer", "minimum": 0, "description": "runs started so far"},
        "error": {"oneOf": [ref("JobError"), {"type": "null"}], "description": "reason of a failed job; else null"},
        "warnings": {
            "type": "array",
            "items": ref("JobWarning"),
            "description": "defects of the song and changes made to it; empty until the job is done",
        },
        "model": nullable("string", description="the model that ran, or before the run the requested one"),
        "options": {
            "oneOf": [ref("Options"), {"type": "null"}],
            "description": "null for a job that was pushed to Redis by hand",
        },
        "duration_seconds": nullable("number", description="as decoded, or before the run as declared by the file"),
        "analysis": {
            "oneOf": [ref("Analysis"), {"type": "null"}],
            "description": "null until the job is done, and if the service does not analyse songs",
        },
        "stems": {
            "type": "object",
            "additionalProperties": {"type": "string", "format": "uri-reference"},
            "description": "URL by stem; empty until the job is done",
        },
        "timings": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "seconds by step",
        },
        "created_at": TIMESTAMP,
        "started_at": TIMESTAMP,
        "finished_at": TIMESTAMP,
        "callbacks": {
            "type": "array",
            "items": ref("CallbackState"),
            "description": "the newest callbacks; present only if one was requested",
        },
        "message": {"type": "string", "description": "note for people; present only if there is one"},
        "removed": {**NAMES, "description": "stems that were removed since; present only if there are any"},
        "mix": {"allOf": [ref("Mix")], "description": "present only for a mix: what it is made of"},
        "provisional": PROVISIONAL,
        "fetched_from": {
            "type": "string",
            "description": "scheme and host, or bucket, of a provisional job's song; present only with `provisional`",
        },
    },
    "callbacks",
    "message",
    "removed",
    "mix",
    "provisional",
    "fetched_from",
    description="A song to separate, and its state.",
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
            "stems": {"oneOf": [NAMES, {"type": "null"}], "description": "null for all stems of the model"},
            "two_stems": nullable("string"),
            "format": {"type": "string", "enum": list(FORMATS)},
            "bitrate": nullable("integer", description="kb/s; null for formats without a bit rate"),
            "overlap": nullable("number", description="null for the model's own"),
            "shifts": {"type": "integer"},
            "sample_rate": {"enum": [None, *SAMPLE_RATES], "description": "Hz, or `source`; null for the model's"},
            "bit_depth": {"enum": [None, *DEPTH_NAMES], "description": "null for the format's default"},
            "mono": {"type": "boolean"},
            "start": nullable("number", description="seconds; null for the song's start"),
            "end": nullable("number", description="seconds; null for the song's end"),
            "refine": {"type": "object", "additionalProperties": {"type": "string"}, "description": "stem ▸ model"},
        },
        description="The options of the job, with defaults filled in.",
    ),
    "Callback": CALLBACK,
    "CallbackState": an_object(
        {
            "id": {"type": "string", "description": "the callback's webhook-id"},
            "to": {"type": "string", "description": "the receiver's scheme, host and port"},
            "state": {"type": "string"},
            "attempts": {"type": "integer"},
            "last_error": nullable("string"),
            "next_attempt_at": TIMESTAMP,
            "posted_at": TIMESTAMP,
            "ended_at": TIMESTAMP,
        }
    ),
    "Accepted": an_object(
        {
            "songhash": ref("Songhash"),
            "message": {
                "type": "string",
                "description": "the same for every song that was uploaded: `state` and `known` say what became of it",
            },
            "state": ref("State"),
            "known": {"type": "boolean", "description": "the job exists already: nothing new was queued"},
            "name": SONG_NAME,
            "links": an_object(
                {name: {"type": "string"} for name in ("job", "events", "stems_zip")}
                | {"named": {"type": "string", "description": "the job, with `name` of this post in all its links"}}
            ),
            "provisional": PROVISIONAL,
        },
        "provisional",
    ),
    "Links": an_object(
        {
            "expires_at": TIMESTAMP,
            "stems": {
                "type": "object",
                "additionalProperties": {"type": "string", "format": "uri-reference"},
                "description": "URL by stem",
            },
            "stems_zip": {"type": "string", "format": "uri-reference"},
        }
    ),
    "Jobs": an_object(
        {
            "jobs": {
                "type": "array",
                "items": ref("Job"),
                "description": "without `queue_position`, `eta_seconds`, `waiting_for` and `callbacks`",
            },
            "next": nullable("string", description="where the next page begins; null after the last"),
        }
    ),
    "Queue": an_object(
        {
            "queue": {**SONGHASHES, "description": "one page of the waiting songhashes, head first"},
            "total": {"type": "integer", "description": "number of all waiting songs"},
            "offset": {"type": "integer"},
            "limit": {"type": "integer"},
            "in_work": SONGHASHES,
            # entries pushed by hand that are not songhashes end among the dead letters
            "dead": {**NAMES, "description": "dead letters, latest first"},
            "counts": {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "description": "waiting, in_work and dead songs; to_fetch and fetching: songs by address",
            },
            "troubles": {**NAMES, "description": "problems that keep workers from starting jobs, as text"},
        }
    ),
    "Buckets": an_object(
        {
            "input-tracks": NAMES,
            "output-tracks": NAMES,
            "truncated": {
                **NAMES,
                "description": "buckets with more names than the limit; present only if there are any",
            },
        },
        "truncated",
    ),
    "Waveforms": an_object(
        {
            "version": {"type": "integer"},
            "sample_rate": {"type": "integer", "description": "Hz"},
            "total_samples": {"type": "integer", "description": "of each stem"},
            "done_samples": {"type": "integer", "description": "less than total_samples while the job is running"},
            "start_sample": {
                "type": "integer",
                "description": "of a part: its first sample, at the start of an interval",
            },
            "end_sample": {"type": "integer", "description": "of a part: the sample after its last one"},
            "stems": {"type": "object", "additionalProperties": ref("Waveform")},
        },
        "start_sample",
        "end_sample",
        description="The loudness of each stem in up to 2000 equal intervals.",
    ),
    "Waveform": an_object(
        {
            "peak": {**INTERVALS, "description": "largest sample of each interval"},
            "rms": {**INTERVALS, "description": "root mean square of each interval"},
        },
        description="One byte per interval: 0 is silence or not computed yet, 255 is full scale.",
    ),
    "Removed": an_object({"message": {"type": "string"}, "removed": NAMES}),
    "Emptied": an_object({"message": {"type": "string"}, "deleted": {"type": "integer"}}),
    "Status": an_object({"status": {"const": "ok"}}),
    "Readiness": an_object(
        {
            "status": {"const": "ok"},
            "redis": {"const": "ok"},
            "s3": {"const": "ok"},
            "workers": {"type": "integer", "minimum": 0, "description": "number of ready workers"},
            "models": {
                "type": "object",
                "additionalProperties": {"type": "integer", "minimum": 0},
                "description": "number of workers by model",
            },
        }
    ),
    "Index": an_object({"name": {"type": "string"}, "calls": {"type": "object"}}),
}
SCHEMAS |= OFFER_SCHEMAS | ANALYSIS_SCHEMAS | BATCH_SCHEMAS

# body of a callback: the job's final state, without the members of an unfinished job
_SENT = (
    *("songhash", "state", "name", "tags", "stems", "error", "warnings", "model", "options", "duration_seconds"),
    *("analysis", "attempts", "timings", "created_at", "started_at", "finished_at"),
)
SCHEMAS["Called"] = an_object(
    {
        "type": {"type": "string", "enum": ["job.done", "job.failed", "job.cancelled"]},
        "timestamp": TIMESTAMP,
        "job": {"type": "string", "format": "uri-reference"},
        "data": {"description": "`callback.data` of the request, unchanged"},
        "mix": {
            "oneOf": [an_object({"of": ref("Songhash")}), {"type": "null"}],
            "description": "the song whose stems were mixed; null unless the job is a mix",
        },
    }
    | {name: JOB["properties"][name] for name in _SENT},
    description="The body of a callback, signed according to Standard Webhooks.",
)
