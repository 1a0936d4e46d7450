"""What the calls of the client share: the transport, and how an answer becomes a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from msaas.client.errors import NotTheService
from msaas.client.models import Job
from msaas.client.names import printable
from msaas.client.transport import Transport

View = TypeVar("View")


class Calls:
    """Base of the client's classes."""

    url: str
    _transport: Transport

    def _typed(self, read: Callable[[Mapping[str, Any]], View], view: Mapping[str, Any]) -> View:
        """Raises NotTheService for a view that `read` cannot read."""
        try:
            return read(view)
        except (KeyError, TypeError, ValueError) as error:
            raise NotTheService(f"{self.url} does not answer like MSaaS: {error!r}") from error


def job_path(songhash: str | Job) -> str:
    return f"/apiv1/jobs/{id_of(songhash)}"


def id_of(songhash: str | Job) -> str:
    """Quoted for a URL path, whatever was typed."""
    return quoted(songhash.songhash if isinstance(songhash, Job) else songhash)


def quoted(text: str) -> str:
    return quote(printable(text), safe="")


def batch_song(song: Any) -> dict[str, Any]:
    """Raises TypeError for what is not a mapping, such as a path."""
    if not isinstance(song, Mapping):
        raise TypeError(
            f"{printable(str(song))[:80]!r} is not a song of a batch: send a file with upload() first, and pass "
            '{"upload": its ID}; or {"url": …}, {"job": …}'
        )
    return dict(song)
