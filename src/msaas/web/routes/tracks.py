"""Stems over HTTP: streamed from storage, and removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NoReturn

from flask import Blueprint, Response, jsonify, redirect, request

from msaas.errors import InvalidOption, NotFound, QueueUnavailable, StorageUnavailable
from msaas.formats import FORMATS, MIX, media_type_of
from msaas.jobs import Job, State, Track
from msaas.song_names import stem_file_name
from msaas.storage import StoredObject
from msaas.web.http.disposition import NAME, attachment, requested_name
from msaas.web.http.ranges import is_unchanged, wanted_range
from msaas.web.openapi.document import Answer, as_json, documented, header, query
from msaas.web.openapi.schemas import STORAGE_UNAVAILABLE, STORES_UNAVAILABLE
from msaas.web.retention_locks import held, hold_for_reading
from msaas.web.services import Services, current_services

log = logging.getLogger(__name__)
calls = Blueprint("tracks", __name__)

ATTACHMENT = {"Content-Disposition": "the file name"}
TRACK_HEADERS = ATTACHMENT | {
    "ETag": "hash of the content",
    "Last-Modified": "time of storage",
    "Accept-Ranges": "bytes",
}
CONTENT_RANGE = {"Content-Range": "the range and the total size"}
RANGE_PARAMETERS = [
    header("Range", "`bytes=<first>-<last>`; anything else, or several ranges, returns the whole file"),
    header("If-Range", "an ETag; the whole file is sent if it has changed"),
    header("If-None-Match", "an ETag; 304 if it is unchanged"),
    header("If-Modified-Since", "a date; 304 if unchanged since"),
]
NAME_PARAMETER = query(
    NAME,
    {"type": "string", "examples": ["Artist - Title"]},
    "what the song is called in the names of saved files (`links.named` of a post's answer has it); default: the "
    "job's `name`",
)
SOUND = {one.media_type: {"type": "string", "contentMediaType": one.media_type} for one in FORMATS.values()}


@calls.get("/apiv1/track/<name>")
@documented(
    "One stem",
    "songs",
    description="With `redirect=1` the response redirects to the object store, for clients that can reach it. The link "
    "needs no key and expires soon: request a new one each time.",
    parameters=[
        query("redirect", {"enum": ["0", "1"]}, "1: redirect to the object store; a HEAD request gets a link for HEAD"),
        NAME_PARAMETER,
        *RANGE_PARAMETERS,
    ],
    answers={
        200: Answer("The stem", SOUND, TRACK_HEADERS),
        206: Answer("The requested range", SOUND, TRACK_HEADERS | CONTENT_RANGE),
        304: Answer("Unchanged", headers=TRACK_HEADERS),
        307: Answer("The stem is at `Location`, valid for MSAAS_S3_LINK_SECONDS", headers={"Location": "the link"}),
    },
    problems={
        404: ["job_unknown", "job_not_done", "stem_unknown", "track_removed", "track_unknown"],
        409: ["redirect_unavailable"],
        422: ["invalid_option"],
        416: ["requested_range_not_satisfiable"],
        503: STORES_UNAVAILABLE,
    },
    head=True,
)
def get_track(name: str) -> Response:
    services = current_services()
    track = Track.parse(name)
    job, stored = find_with_job(services, track)
    save_as = _save_as(job, track, stored)
    if wants_redirect():
        hold_for_reading(services, track.songhash, services.store_links.seconds)
        link = services.store_links.to(stored.name, attachment(save_as), method=request.method)
        return redirect(link, 307, Response)  # type: ignore[return-value]

    def read(start: int, stop: int) -> Iterator[bytes]:
        return _held_bytes(services, track.songhash, stored, start, stop)

    response = answer(stored, read, save_as=save_as)
    response.content_type = media_type_of(stored.name)
    return response


def _save_as(job: Job | None, track: Track, stored: StoredObject) -> str:
    """The file's name for people; the object's own if the song has none."""
    name = requested_name() or (job.name if job else "")
    return stem_file_name(name, track.stem, Track.parse(stored.name).extension or "") if name else stored.name


def _held_bytes(services: Services, songhash: str, stored: StoredObject, start: int, stop: int) -> Iterator[bytes]:
    return held(services, songhash, services.storage.read_stem(stored.name, start, stop - start))


def answer(
    stored: StoredObject, read: Callable[[int, int], Iterator[bytes]], *, save_as: str, what: str = "track"
) -> Response:
    """The whole object, a range, or 304, as the request's headers ask. `read(start, stop)` yields the bytes.
    Raises RequestedRangeNotSatisfiable."""
    if is_unchanged(request, stored):
        return described(Response(status=304), stored, save_as)
    piece = wanted_range(request, stored, what)
    start, stop = piece or (0, stored.size)
    response = described(Response(status=206 if piece else 200), stored, save_as)
    response.headers["Content-Length"] = str(stop - start)
    if piece:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stored.size}"
    if request.method != "HEAD" and stop > start:
        stream(response, read(start, stop))
    return response


@calls.delete("/apiv1/remove/<name>")
@documented(
    "Remove one stem",
    "songs",
    description="Without its last stem, a song is no longer in the list of songs until it is posted again.",
    answers={200: Answer("What was removed", as_json("Removed"))},
    problems={404: ["track_unknown"], 503: STORAGE_UNAVAILABLE},
)
def remove_track(name: str) -> Response:
    services = current_services()
    track = Track.parse(name)
    removed = [found.name for found in _present(services, track)]
    if not removed:
        raise NotFound(f"{name} is not in output-tracks", code="track_unknown")
    for found in removed:
        services.storage.remove_stem(found)
        _note_removed(services, Track.parse(found))
    if not services.storage.stems_of(track.songhash):
        services.storage.remove_waveforms(track.songhash)
        _take_off_list(services, track.songhash)
    log.info("removed tracks=%s", removed)
    return jsonify(message=f"removed {', '.join(removed)}", removed=removed)


def _note_removed(services: Services, track: Track) -> None:
    """For who looks at the job: without Redis, the stem is removed all the same."""
    try:
        services.queue.note_removed(track.songhash, track.stem)
    except QueueUnavailable as error:
        log.warning("not noted as removed songhash=%s stem=%s reason=%s", track.songhash, track.stem, error)


def _take_off_list(services: Services, songhash: str) -> None:
    """The list is only a convenience: without Redis, the stems are removed all the same. So are the song's mixes, and
    the links that share it."""
    try:
        services.shares.forget(songhash)
        for _ in services.song_mixes.forget(songhash, even_held=True):
            pass
        job = services.queue.get(songhash)
        if job is not None and job.state is State.DONE:
            services.songs.remove(job)
    except (QueueUnavailable, StorageUnavailable) as error:
        log.warning("not taken off the list of songs songhash=%s reason=%s", songhash, error)


def stream(response: Response, chunks: Iterator[bytes]) -> None:
    """Fetches the first chunk now, so that an unavailable store gives a 503 rather than a broken body."""
    first = next(chunks, b"")
    response.response = chain([first], chunks)
    if hasattr(chunks, "close"):
        response.call_on_close(chunks.close)  # returns the connection if the client disconnects


def described(response: Response, stored: StoredObject, save_as: str) -> Response:
    """Adds the object's headers. `save_as`: the name of the file that a browser makes of it."""
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-cache"  # cached but revalidated: a track can be removed
    response.headers["Content-Disposition"] = attachment(save_as)
    if stored.etag:
        response.set_etag(stored.etag)
    response.last_modified = stored.modified
    return response


def wants_redirect() -> bool:
    asked = request.args.get("redirect", "0")
    if asked not in ("0", "1"):
        raise InvalidOption(f"redirect={asked[:40]!r} is not 0 or 1")
    return asked == "1"


# --- from a name to an object


def find(services: Services, track: Track) -> StoredObject:
    """Raises NotFound: job_unknown, job_not_done, stem_unknown or track_removed."""
    return find_with_job(services, track)[1]


def find_with_job(services: Services, track: Track) -> tuple[Job | None, StoredObject]:
    """The job is None if no record is left of it. Raises as `find`."""
    hold_for_reading(services, track.songhash)
    job = services.queue.get(track.songhash)
    if job is None:
        return None, next(_present(services, track), None) or _refuse_without_record(services, track)
    extension = extension_of(job, track)
    return job, services.storage.stat_stem(track.object_name(extension)) or _refuse_removed(track)


def extension_of(job: Job, track: Track) -> str:
    """The file extension of the track. Raises NotFound if the job is not done or has no such track."""
    refuse_unless_done(job)
    extension = job.stem_extensions.get(track.stem)
    if extension is None or track.extension not in (None, extension):
        raise _unknown_stem(track, [f"{stem}.{kind}" for stem, kind in job.stem_extensions.items()])
    return extension


def refuse_unless_done(job: Job) -> None:
    if job.state is State.DONE:
        return
    percent = f" ({job.progress:.0%})" if job.state is State.RUNNING else ""
    raise NotFound(
        f"job {job.songhash} is {job.state}{percent}, not done",
        code="job_not_done",
        state=job.state.value,
        progress=job.progress,
    )


def _present(services: Services, track: Track) -> Iterator[StoredObject]:
    """The stored objects of a name, without regard to records."""
    for extension in [track.extension] if track.extension else FORMATS:
        if stored := services.storage.stat_stem(track.object_name(extension)):
            yield stored


def _refuse_without_record(services: Services, track: Track) -> NoReturn:
    if others := services.storage.stems_of(track.songhash):
        raise _unknown_stem(track, [name.removeprefix(f"{track.songhash}-") for name in others])
    raise NotFound(f"unknown job {track.songhash}", code="job_unknown")


def _unknown_stem(track: Track, stems: list[str]) -> NotFound:
    asked = f"{track.stem}.{track.extension}" if track.extension else track.stem
    return NotFound(
        f"job {track.songhash} has no stem {asked}; it has {', '.join(stems)}", code="stem_unknown", stems=stems
    )


def _refuse_removed(track: Track) -> NoReturn:
    raise NotFound(
        f"the stem {track.stem} of job {track.songhash} was removed;"
        f" post the {'mix' if track.stem == MIX else 'song'} again to recreate it",
        code="track_removed",
    )
