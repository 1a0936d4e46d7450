"""Presigned links to stems, for clients with access to the store. Makes no calls to the store."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from minio import Minio

from msaas.errors import NoLinks
from msaas.formats import media_type_of
from msaas.storage import OUTPUTS, connect


class StoreLinks:
    """The signature covers the host that the client uses, so it is made for that one (AWS Signature Version 4)."""

    def __init__(self, public_url: str, access_key: str, secret_key: str, *, seconds: int) -> None:
        """`public_url`: the store's address for clients; empty if they have no access."""
        self.seconds = seconds
        self._client = _client(public_url, access_key, secret_key) if public_url else None

    def to(self, name: str, disposition: str, *, method: str = "GET") -> str:
        """`disposition`: the Content-Disposition of the store's answer. Raises NoLinks if no public address of the
        store is set."""
        if self._client is None:
            raise NoLinks(
                "this service provides no links to its object store (MSAAS_S3_PUBLIC_URL is empty);"
                " omit `redirect` to get the stem from the API"
            )
        headers: dict[str, str | list[str] | tuple[str]] = {
            "response-content-disposition": disposition,
            "response-content-type": media_type_of(name),
        }
        return self._client.get_presigned_url(
            method, OUTPUTS, name, expires=timedelta(seconds=self.seconds), response_headers=headers
        )


def _client(public_url: str, access_key: str, secret_key: str) -> Minio:
    parts = urlsplit(public_url)
    return connect(parts.netloc, access_key, secret_key, secure=parts.scheme == "https")
