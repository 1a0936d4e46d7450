"""Decodes base64 from a JSON string in pieces, strictly. Independent of files and HTTP.

Line breaks inside the text (made by `base64` without -w0; `\\n` in JSON) are ignored. Everything else outside the
standard alphabet (RFC 4648, 4) and its padding is rejected.
"""

from __future__ import annotations

import binascii
import json
import re

from msaas.errors import BadRequest

# an escape split by the end of a piece
_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_MAX_ESCAPE = 6


class Base64Decoder:
    """`feed` pieces of the string between its quotes, then `finish`. Raises BadRequest."""

    def __init__(self) -> None:
        self._partial_escape = b""  # an incomplete escape
        self._quad = b""  # fewer than four characters, not yet decodable
        self._padded = False

    def feed(self, piece: bytes) -> bytes:
        text = self._quad + self._characters(self._partial_escape + piece)
        whole = len(text) - len(text) % 4
        self._quad = text[whole:]
        if not whole:
            return b""
        if self._padded:
            raise _bad("data after the = padding")
        return self._decode(text[:whole])

    def finish(self) -> None:
        if self._partial_escape or self._quad:
            raise _bad("the length is not a multiple of 4; it is truncated or lacks its = padding")

    def _characters(self, raw: bytes) -> bytes:
        """The text of `raw`: escapes decoded, line breaks dropped."""
        if b"\n" in raw or b"\r" in raw:
            raise BadRequest(
                "`mp3` has a raw line break, which is not valid JSON; encode with `base64 -w0`", "bad_json"
            )
        cut = _CUT_ESCAPE.search(raw, max(0, len(raw) - _MAX_ESCAPE))
        end = cut.start() if cut else len(raw)
        self._partial_escape, raw = raw[end:], raw[:end]
        if b"\\" in raw:
            raw = _unescape(raw)
        return raw.translate(None, b"\r\n")

    def _decode(self, text: bytes) -> bytes:
        self._padded = text.endswith(b"=")
        if text.endswith(b"==="):  # even in strict mode, a2b_base64 accepts excess padding
            raise _bad("excess padding")
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error as error:
            raise _bad(_reason(text, error)) from error


def _unescape(raw: bytes) -> bytes:
    try:
        text: str = json.loads(f'"{raw.decode("ascii")}"')
        return text.encode("ascii")
    except ValueError as error:
        raise _bad("it has an escape or a character that is not base64") from error


def _reason(text: bytes, error: binascii.Error) -> str:
    if text.startswith(b"data:"):
        return "it is a data: URL; send only the part after the comma"
    if b"-" in text or b"_" in text:
        return "it uses the URL-safe alphabet (- and _); use the standard one (+ and /)"
    return str(error).lower()


def _bad(reason: str) -> BadRequest:
    return BadRequest(f"`mp3` is not base64: {reason}", code="bad_base64")
