"""Schemas of links that share a song."""

from __future__ import annotations

from msaas.web.openapi.parts import Schema, an_object, nullable, ref

MAX_MIX = 2000

_MIX: Schema = {
    "type": "string",
    "maxLength": MAX_MIX,
    "description": "the mix that the page shows, as in its addresses: "
    "`mix=vocals:-6:-30:m&loop=12.5-20&tempo=75&pitch=-2&order=bass,drums`",
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
        "mix": _MIX,
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
