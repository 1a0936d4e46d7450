"""Schemas of a batch's state and of its callback. No I/O."""

from __future__ import annotations

from msaas.batches.records import STATES
from msaas.jobs import PRIORITIES, State
from msaas.web.openapi.parts import Schema, an_object, nullable, ref

TIMESTAMP: Schema = nullable("string", format="date-time", description="ISO 8601, UTC")
COUNTS: Schema = an_object(
    {state: {"type": "integer", "minimum": 0} for state in STATES},
    description="number of songs by state; `expired`: its record was deleted",
)
STATE: Schema = {"type": "string", "enum": [State.QUEUED, State.DONE, State.CANCELLED, State.RUNNING, State.FAILED]}

BATCH_SCHEMAS: dict[str, Schema] = {
    "Batch": an_object(
        {
            "batch": {"type": "string", "format": "uuid", "description": "the ID to follow"},
            "state": {**STATE, "description": "`queued` until all songs have ended, then `done`; or `cancelled`"},
            "priority": {"type": "string", "enum": list(PRIORITIES)},
            "total": {"type": "integer"},
            "counts": COUNTS,
            "songs": {"type": "array", "items": ref("BatchSong"), "description": "in the order of the request"},
            "created_at": TIMESTAMP,
            "finished_at": TIMESTAMP,
        }
    ),
    "BatchSong": an_object(
        {
            "id": {"type": "string", "format": "uuid", "description": "of its provisional job; leads to its job"},
            "songhash": {
                "oneOf": [ref("Songhash"), {"type": "null"}],
                "description": "of its job; null until the song was read",
            },
            "state": {"type": "string", "enum": list(STATES)},
            "error": {"oneOf": [ref("JobError"), {"type": "null"}]},
            "link": {"type": "string", "format": "uri-reference"},
        }
    ),
    "BatchCalled": an_object(
        {
            "type": {"type": "string", "enum": ["batch.done", "batch.cancelled"]},
            "timestamp": TIMESTAMP,
            "batch": {"type": "string", "format": "uuid"},
            "state": STATE,
            "total": {"type": "integer"},
            "counts": COUNTS,
            "created_at": TIMESTAMP,
            "finished_at": TIMESTAMP,
            "link": {"type": "string", "format": "uri-reference"},
            "data": {"description": "`callback.data` of the request, unchanged"},
        },
        description="The body of a batch's callback, signed according to Standard Webhooks.",
    ),
}
