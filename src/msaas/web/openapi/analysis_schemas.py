"""What was measured of a song, as JSON Schema. No I/O."""

from __future__ import annotations

from msaas.web.openapi.parts import Schema, an_object, ref

CONFIDENCE: Schema = {"type": "number", "minimum": 0, "maximum": 1}


def _or_null(name: str, description: str) -> Schema:
    return {"oneOf": [ref(name), {"type": "null"}], "description": description}


ANALYSIS_SCHEMAS: dict[str, Schema] = {
    "Analysis": an_object(
        {
            "loudness": _or_null("Loudness", "by EBU R128; null for silence"),
            "tempo": _or_null("Tempo", "by the drums, else by the song; null without a steady beat"),
            "key": _or_null("Key", "by what is neither drums nor vocals; null if no key is clearly the best"),
        },
        description="What was measured of the song while it was separated, or of the part between `start` and `end`.",
    ),
    "Loudness": an_object({"integrated_lufs": {"type": "number"}, "true_peak_dbtp": {"type": "number"}}),
    "Tempo": an_object(
        {
            "bpm": {"type": "number", "description": "beats a minute; may be half or double of what a person counts"},
            "confidence": CONFIDENCE,
            "first_beat_seconds": {
                "type": ["number", "null"],
                "description": "from the song's start; null if it is not clear which onsets are the beats",
            },
        }
    ),
    "Key": an_object(
        {
            "name": {"type": "string", "examples": ["F# minor"]},
            "confidence": CONFIDENCE,
            "tuning_cents": {"type": "number", "description": "from 440 Hz"},
        }
    ),
}
