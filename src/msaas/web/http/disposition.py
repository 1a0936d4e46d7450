"""The Content-Disposition header, and the name that a link gives to what is saved."""

from __future__ import annotations

from urllib.parse import quote

from flask import request
from werkzeug.http import quote_header_value

from msaas.song_names import ascii_name, safe_name

NAME = "name"  # the query parameter
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 8187, attr-char, besides letters and digits


def attachment(file_name: str) -> str:
    """The header's value by RFC 6266: `filename*` in UTF-8 if `filename`, for old programs, cannot hold the name.

    As werkzeug.utils.send_file writes it, but without a percent sign in `filename`, which some browsers decode
    (appendix D).
    """
    plain = ascii_name(file_name).replace("%", "_")
    value = f"attachment; filename={quote_header_value(plain, allow_token=False)}"
    if plain == file_name:
        return value
    return f"{value}; filename*=UTF-8''{quote(file_name, safe=_ATTRIBUTE_CHARACTERS)}"


def requested_name() -> str:
    """The name in the current request's query, made safe; empty without one."""
    return safe_name(request.args.get(NAME, ""))
