"""Parses the secrets that sign callbacks from the setting. No I/O."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)  # the specification's 192 to 512 bits


@dataclass(frozen=True)
class Secret:
    """The key itself is not shown where a secret is printed or logged."""

    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Secret:
        """`whsec_<base64>`. Raises ValueError, without repeating the secret."""
        try:
            key = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
        except binascii.Error as error:
            raise ValueError(f"a secret has the form {PREFIX}<base64>") from error
        if len(key) not in SECRET_BYTES:
            raise ValueError(
                f"a secret of {len(key)} bytes; it must have {SECRET_BYTES.start} to {SECRET_BYTES.stop - 1}"
            )
        return cls(key)


def parse_secrets(text: str) -> tuple[Secret, ...]:
    """Secrets separated by commas; a receiver may hold any one of them. Raises ValueError."""
    return tuple(Secret.parse(part) for part in text.split(",") if part.strip())
