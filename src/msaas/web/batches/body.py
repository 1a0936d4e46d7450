"""Parses the body of POST /apiv1/batches: the songs, each with its options, and what applies to all. Stores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msaas.callbacks.outbox import CallbackRequest
from msaas.errors import InvalidOption, RequestError
from msaas.fetching.stored import SONG, UPLOAD
from msaas.jobs import LOW
from msaas.web.services import Services
from msaas.web.uploads.bodies import PRIORITY
from msaas.web.uploads.callback import parse_callback
from msaas.web.uploads.json_body import parse_members
from msaas.web.uploads.song_request import SongRequest, parse_priority, parse_request

MAX_SONGS = 1000
MAX_BYTES = 4_000_000
MEMBERS = ("songs", "options", PRIORITY, "callback")
SOURCES = {"url": "", "upload": UPLOAD, "job": SONG}  # the members that say where a song is ▸ prefix of its address


@dataclass(frozen=True)
class BatchSong:
    """`kind`: url, upload or job; `place`: the URL, the upload's ID or the job's songhash, unchecked."""

    kind: str
    place: str
    asked: SongRequest


@dataclass(frozen=True)
class BatchRequest:
    songs: tuple[BatchSong, ...]
    callback: CallbackRequest | None
    priority: str


def parse_batch(text: bytes, services: Services) -> BatchRequest:
    """Raises BadRequest, and InvalidOption, which names the song's index."""
    given = parse_members(text, 'send {"songs": [{"url": …}, …]}')
    for name in given:
        if name not in MEMBERS:
            raise InvalidOption(f"unknown member {name[:40]!r}; a batch has {', '.join(MEMBERS)}")
    songs, defaults = given.get("songs"), given.get("options", {})
    if not isinstance(songs, list) or not 1 <= len(songs) <= MAX_SONGS:
        raise InvalidOption(f"songs takes a list of 1 to {MAX_SONGS} songs")
    if not isinstance(defaults, dict):
        raise InvalidOption("options takes an object with options for all songs")
    if PRIORITY in defaults:
        raise InvalidOption("priority is a member of the batch, not of its options")
    priority = LOW if given.get(PRIORITY) in (None, "") else parse_priority(given[PRIORITY])
    common = {**defaults, PRIORITY: priority}
    found = tuple(_song(index, song, common, services) for index, song in enumerate(songs))
    callback = parse_callback(given.get("callback"), services.options.callback_targets)
    return BatchRequest(found, callback, priority)


def _song(index: int, given: Any, common: Mapping[str, Any], services: Services) -> BatchSong:
    if not isinstance(given, dict):
        raise with_index(index, InvalidOption("a song is an object with url, upload or job"))
    named = [name for name in SOURCES if name in given]
    if len(named) != 1 or not isinstance(given[named[0]], str):
        raise with_index(index, InvalidOption("a song has one of url, upload and job, as text"))
    if PRIORITY in given:
        raise with_index(index, InvalidOption("priority is of the batch, not of a song"))
    own = {name: value for name, value in given.items() if name not in SOURCES}
    try:
        return BatchSong(named[0], given[named[0]], parse_request({**common, **own}, services))
    except RequestError as error:
        raise with_index(index, error) from error


def with_index(index: int, error: RequestError) -> RequestError:
    """The error, with the index of its song in the message."""
    error.args = (f"songs[{index}]: {error}",)
    return error
