"""The client's calls for a song that is done: mixes of its stems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from msaas.client.calls import Calls, job_path
from msaas.client.models import Job
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
    ) -> Job:
        """Has the service mix the stems of a song, and returns the mix's job, which `wait` and `download` take; its one
        stem is `mix`. The same mix is the same job.

        levels: by stem, decibels (-math.inf for silence), or {"gain_db": …, "pan": -1 to 1, "mute": …, "solo": …}.
        Stems without one are heard as they are. start, end: seconds. Raises ServiceError: `invalid_option`,
        `job_unknown`, `job_not_done`, `track_removed`, `conflict` for a song whose stems are in one file.
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
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return self._typed(Job.from_view, self._transport.request_json("POST", f"{job_path(song)}/mix", json=body))


def _level(level: Level) -> dict[str, Any]:
    given: dict[str, Any] = {"gain_db": level} if isinstance(level, int | float) else dict(level)
    return given | ({"gain_db": SILENT} if given.get("gain_db") == -math.inf else {})
