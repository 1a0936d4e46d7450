"""Schemas of links that share a song."""

from __future__ import annotations

from msaas.mixing.page_text import GAIN, PAN, PITCH, TEMPO
from msaas.web.openapi.parts import Schema, an_object, nullable, ref

MAX_MIX = 2000

_EXAMPLE = "mix=vocals:-6:-30:m&loop=12.5-20&tempo=75&pitch=-2&order=bass,drums"
_MIX: Schema = {
    "type": "string",
    "maxLength": MAX_MIX,
    "description": f"the mix that the page shows, as in its addresses: `{_EXAMPLE}`",
}
_NEW_MIX: Schema = {
    "type": "string",
    "maxLength": MAX_MIX,
    "description": f"the mix that the page shows, as in its addresses: `{_EXAMPLE}`. Parts in any order, each at most "
    "once, joined by `&`. `mix`: stems of the song, each as name (percent-encoded), decibels from "
    f"{GAIN[0]:g} (silence) to {GAIN[1]:g}, pan in percent from {PAN[0]:g} to {PAN[1]:g}, and `m` (muted), `s` "
    "(soloed), `ms` or nothing; `loop`: seconds, with an end after its start, which lies in the song; `tempo`: percent "
    f"from {TEMPO[0]:g} to {TEMPO[1]:g}; `pitch`: semitones from {PITCH[0]:g} to {PITCH[1]:g}; `order`: the first "
    "stems. Numbers have at most five digits before and after the point. Anything else is refused (`invalid_option`)",
    "example": "mix=vocals:-6:-30:m&loop=12.5-20",
}
_TIME: Schema = {"type": "string", "format": "date-time"}
_SHARE: dict[str, Schema] = {
    "id": {"type": "string", "description": "for the calls that list and revoke links; it opens nothing"},
    "songhash": ref("Songhash"),
    "mix": _MIX,
    "created_at": _TIME,
    "expires_at": _TIME,
}
SHARE_REQUEST: Schema = an_object(
    {
        "days": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "until the link expires, at most MSAAS_SHARE_DAYS; default: 7",
        },
        "mix": _NEW_MIX,
    },
    *("days", "mix"),
    additionalProperties=False,
)
SHARE_BODY: Schema = {
    "required": True,
    "content": {"application/json": {"schema": ref("ShareRequest"), "example": {"days": 2}}},
}
SHARE_SCHEMAS: dict[str, Schema] = {
    "ShareRequest": SHARE_REQUEST,
    "Share": an_object(_SHARE),
    "Shares": an_object({"shares": {"type": "array", "items": ref("Share")}}),
    "NewShare": an_object(
        _SHARE
        | {
            "token": {"type": "string", "description": "sent as `Authorization: Bearer <token>`; shown only once"},
            "url": {"type": "string", "format": "uri-reference", "description": "of the page, for people"},
        }
    ),
    "Shared": an_object(
        {
            "songhash": ref("Songhash"),
            "name": nullable("string", description="what the song is called; null if nothing is known"),
            "mix": _MIX,
            "expires_at": _TIME,
        }
    ),
}
