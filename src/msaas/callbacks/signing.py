"""Standard Webhooks signatures (https://www.standardwebhooks.com): HMAC-SHA256 over id, timestamp and body. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from msaas.settings.callback_secrets import PREFIX, Secret


def new_secret() -> str:
    """A new `whsec_…` of 256 bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(held: Sequence[Secret], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature` with one signature per secret."""
    headers = {"webhook-id": id_, "webhook-timestamp": str(timestamp)}
    if held:
        headers["webhook-signature"] = " ".join(_signature(secret, id_, timestamp, body) for secret in held)
    return headers


def _signature(secret: Secret, id_: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(secret.key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
