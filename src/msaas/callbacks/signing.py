"""Standard Webhooks signatures (https://www.standardwebhooks.com): HMAC-SHA256 over id, timestamp and body. No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
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
            raise ValueError(f"a secret reads {PREFIX}<base64>") from error
        if len(key) not in SECRET_BYTES:
            raise ValueError(f"a secret of {len(key)} bytes; it takes {SECRET_BYTES.start} to {SECRET_BYTES.stop - 1}")
        return cls(key)


def parse_secrets(text: str) -> tuple[Secret, ...]:
    """Secrets parted by commas; a receiver may hold any one of them. Raises ValueError."""
    return tuple(Secret.parse(part) for part in text.split(",") if part.strip())


def new_secret() -> str:
    """A fresh `whsec_…` of 256 bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(held: Sequence[Secret], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (seconds since 1970) and, one signature a secret, `webhook-signature`."""
    headers = {"webhook-id": id_, "webhook-timestamp": str(timestamp)}
    if held:
        headers["webhook-signature"] = " ".join(_signature(secret, id_, timestamp, body) for secret in held)
    return headers


def _signature(secret: Secret, id_: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(secret.key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
