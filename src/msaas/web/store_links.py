"""Presigned links to stems, for clients that reach the store themselves. Signs; asks the store nothing."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from minio import Minio

from msaas.errors import NoLinks
from msaas.formats import media_type_of
from msaas.settings import Settings
from msaas.storage import OUTPUTS, REGION


class StoreLinks:
    """The signature covers the host that the client asks, so it is made for that one (AWS Signature Version 4)."""

    def __init__(self, settings: Settings) -> None:
        self.seconds = settings.s3_link_seconds
        self._client = _client(settings) if settings.s3_public_url else None

    def to(self, name: str, *, method: str = "GET") -> str:
        """Raises NoLinks where no address is set at which clients reach the store."""
        if self._client is None:
            raise NoLinks(
                "this service gives no links to its object store (MSAAS_S3_PUBLIC_URL is empty);"
                " without `redirect` the stem comes from here"
            )
        headers: dict[str, str | list[str] | tuple[str]] = {
            "response-content-disposition": f'attachment; filename="{name}"',
            "response-content-type": media_type_of(name),
        }
        return self._client.get_presigned_url(
            method, OUTPUTS, name, expires=timedelta(seconds=self.seconds), response_headers=headers
        )


def _client(settings: Settings) -> Minio:
    parts = urlsplit(settings.s3_public_url)
    return Minio(
        parts.netloc,
        access_key=settings.minio_access_key,
        secret_key=settings.minio_secret_key,
        secure=parts.scheme == "https",
        region=REGION,
    )
