"""The client's calls for a song that is done: mixes of its stems, and links that share it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msaas.client.calls import Calls, job_path, quoted
from msaas.client.models import Job, Share
from msaas.formats import DEFAULT_FORMAT

SILENT = "-inf"

Level = float | Mapping[str, Any]


class SongCalls(Calls):
    """Part of Client."""

    def mix(
        self,
        song: str | Job,
        levels: Mapping[str, Level] | None = None,
        *,
        format: str = DEFAULT_FORMAT,
        bitrate: int | None = None,
        bit_depth: str | None = None,
        sample_rate: int | str | None = None,
        mono: bool = False,
        start: float | None = None,
        end: float | None = None,
        callback: Mapping[str, Any] | None = None,
    ) -> Job:
        """Has the service mix the stems of a song, and returns the mix's job, which `wait` and `download` take; its one
        stem is `mix`. The same mix is the same job.

        levels: by stem, decibels (-math.inf for silence), or {"gain_db": …, "pan": -1 to 1, "mute": …, "solo": …}.
        Stems without one are heard as they are. start, end: seconds. callback: {"url": …, "data": …}.

        Raises ServiceError: `invalid_option`, `callback_refused`, `job_unknown`, `job_not_done`,
        `track_removed`, `conflict` for a song whose stems are in one file.
        """
        asked: dict[str, Any] = {
            "levels": {stem: _level(level) for stem, level in (levels or {}).items()},
            "format": format,
            "bitrate": bitrate,
            "bit_depth": bit_depth,
            "sample_rate": sample_rate,
            "mono": mono or None,
            "start": start,
            "end": end,
            "callback": callback,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return self._typed(Job.from_view, self._transport.request_json("POST", f"{job_path(song)}/mix", json=body))

    def share(self, song: str | Job, *, days: float | None = None, mix: str = "") -> Share:
        """A new link by which anybody can read the song without a key; `url` is the page's address. Each call makes
        another one. days: until it expires, 7 by default; the service has a limit. mix: as in an address of the page,
        `mix=vocals:-6:0:`. Raises ServiceError: `forbidden` if the service has no links, `job_not_done`."""
        body: dict[str, Any] = ({} if days is None else {"days": days}) | ({"mix": mix} if mix else {})
        found = self._transport.request_json("POST", f"{job_path(song)}/shares", json=body)
        return self._typed(lambda view: Share.from_view(view, self.url), found)

    def shares(self, song: str | Job) -> tuple[Share, ...]:
        """The links that have not expired, the newest first, without their addresses, which only `share` returns."""
        return self._typed(Share.all_in, self._transport.request_json("GET", f"{job_path(song)}/shares"))

    def unshare(self, song: str | Job, share: str | Share) -> tuple[Share, ...]:
        """Ends a link, by its ID; returns those that are left. Raises ServiceError (`share_unknown`)."""
        id_ = share.id if isinstance(share, Share) else share
        path = f"{job_path(song)}/shares/{quoted(id_)}"
        return self._typed(Share.all_in, self._transport.request_json("DELETE", path))


def _level(level: Level) -> dict[str, Any]:
    given: dict[str, Any] = {"gain_db": level} if isinstance(level, int | float) else dict(level)
    return given | ({"gain_db": SILENT} if given.get("gain_db") == -math.inf else {})
