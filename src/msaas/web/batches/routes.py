"""Batches: POST, GET and DELETE of /apiv1/batches. A song of a batch is a provisional job, as one by address is."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, jsonify

from msaas.auth.access_control import caller, gate
from msaas.batches import Batch, SongState, counts_of
from msaas.batches.records import STATES
from msaas.errors import Conflict, Forbidden, NotFound, QueueFull, RequestError, UploadIncomplete
from msaas.fetching.sources import last_part
from msaas.jobs import State, iso, job_link, parse_songhash, record_json
from msaas.queue import FETCHES, NO_CALLBACK
from msaas.song_names import file_name
from msaas.web.batches.body import MAX_BYTES, MAX_SONGS, SOURCES, BatchRequest, BatchSong, parse_batch, with_index
from msaas.web.http.idempotency import HEADER, REPLAYED, answered_once, fingerprint, requested_key
from msaas.web.http.small_json import expect_json, received_text
from msaas.web.openapi.batch_requests import BATCH_BODY, BATCH_CALLED
from msaas.web.openapi.document import Answer, as_json, documented, header
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE, STORES_UNAVAILABLE
from msaas.web.routes.jobs import known_job
from msaas.web.routes.separate import refuse_impossible
from msaas.web.routes.uploads import own_upload
from msaas.web.services import Services, current_services
from msaas.web.uploads.body import Body
from msaas.web.uploads.tus_headers import filename_in

log = logging.getLogger(__name__)
calls = Blueprint("batches", __name__)

WHAT = "a batch"


@calls.post("/apiv1/batches")
@documented(
    "Send many songs",
    "songs",
    description=f"1 to {MAX_SONGS} songs: by address (`url`), as uploads in parts (`upload`), or of jobs (`job`). All "
    "are queued, or none. Their priority is `low` unless the request says otherwise: other songs go before them.",
    parameters=[header(HEADER, "a string of the caller's choice: a repeated request with it gets the same answer")],
    body=BATCH_BODY,
    answers={202: Answer("Queued", as_json("Batch"), {"Location": "the batch", REPLAYED: "`true` for a replay"})},
    problems={
        400: ["bad_json", "bad_chunks", "upload_cut_short", "bad_idempotency_key"],
        403: ["forbidden"],
        404: ["upload_unknown", "job_unknown"],
        408: ["client_too_slow"],
        409: ["conflict", "request_in_progress", "upload_incomplete"],
        413: ["upload_too_large"],
        415: ["unsupported_body"],
        422: ["invalid_option", "callback_refused", "fetch_refused", "idempotency_key_reused"],
        429: ["too_many_songs", "too_many_callbacks"],
        503: [*STORES_UNAVAILABLE, "scratch_full", "queue_full"],
    },
    callbacks=BATCH_CALLED,
)
def create_batch() -> Response:
    services = current_services()
    requested_key()  # raises for an invalid one
    asked = parse_batch(received_text(WHAT, MAX_BYTES), services)
    marks = [part for song in asked.songs for part in (song.kind, song.place, *song.asked.marks)]
    mark = fingerprint(*marks, asked.priority, asked.callback.digest if asked.callback else "")
    return answered_once(services.answers, mark, lambda: _create(services, asked))


def _create(services: Services, asked: BatchRequest) -> Response:
    records = [_record(services, index, song) for index, song in enumerate(asked.songs)]
    who, quotas = caller(), gate().quotas
    _refuse_beyond_limits(services, len(records))
    quotas.charge_posts(who.account, len(asked.songs) - 1)
    batch = services.batches.create(
        [(record, song.asked.callback_args) for record, song in zip(records, asked.songs, strict=True)],
        {"tenant": who.tenant, "priority": asked.priority},
        callback=asked.callback.args if asked.callback else NO_CALLBACK,
        admission=quotas.admission(who.account),
    )
    log.info("submitted batch=%s songs=%d tenant=%s", batch.id, len(records), who.tenant or "-")
    response = jsonify(_view(batch, services.batches.states(batch.songs)))
    response.status_code = 202
    response.headers["Location"] = _link(batch.id)
    return response


def _refuse_beyond_limits(services: Services, songs: int) -> None:
    """Before the first song is queued: a fetch might take it at once. Queueing each song checks again."""
    who, quotas = caller(), gate().quotas
    quotas.refuse_songs(who.account, songs + 1)  # the batch counts, too
    if quotas.max_waiting and services.fetches.counts().waiting + songs > quotas.max_waiting:
        raise QueueFull(f"the queue has no room for {songs} songs more ({quotas.max_waiting} at most); retry later")


@calls.get("/apiv1/batches/<songhash>")
@documented(
    "State of a batch",
    "jobs",
    description="`songhash` is the batch's ID.",
    answers={200: Answer("The batch, with the states of its songs", as_json("Batch"))},
    problems={404: ["batch_unknown", "job_unknown"], 503: QUEUE_UNAVAILABLE},
)
def get_batch(songhash: str) -> Response:
    services = current_services()
    batch = _known_batch(songhash)
    return jsonify(_view(batch, services.batches.states(batch.songs)))


@calls.delete("/apiv1/batches/<songhash>")
@documented(
    "Cancel a batch",
    "jobs",
    description="Cancels its songs that have not ended, also those that were sent outside the batch as well.",
    answers={200: Answer("The batch", as_json("Batch"))},
    problems={404: ["batch_unknown", "job_unknown"], 409: ["conflict"], 503: QUEUE_UNAVAILABLE},
)
def cancel_batch(songhash: str) -> Response:
    services = current_services()
    batch = _known_batch(songhash)
    if batch.state is State.DONE:
        raise Conflict(f"batch {batch.id} is done")
    services.batches.cancel(batch)
    log.info("cancelled batch=%s", batch.id)
    return get_batch(songhash)


def _known_batch(text: str) -> Batch:
    """Raises NotFound(batch_unknown)."""
    try:
        id_ = parse_songhash(text)
    except NotFound as error:
        raise NotFound(f"unknown batch {text[:60]!r}", code="batch_unknown") from error
    return current_services().batches.get(id_)


def _link(id_: str) -> str:
    return f"/apiv1/batches/{id_}"


def _view(batch: Batch, songs: list[SongState]) -> dict[str, Any]:
    return {
        "batch": batch.id,
        "state": batch.state.value,
        "priority": batch.priority,
        "total": len(songs),
        "counts": counts_of(songs),
        "songs": [_song_view(song) for song in songs],
        "created_at": iso(batch.created_at),
        "finished_at": iso(batch.finished_at),
    }


def _song_view(song: SongState) -> dict[str, Any]:
    return {
        "id": song.id,
        "songhash": song.songhash or None,
        "state": song.state if song.state in STATES else State.FAILED.value,
        "error": song.error,
        "link": job_link(song.id),
    }


# --- the songs


def _record(services: Services, index: int, song: BatchSong) -> dict[str, str]:
    """Of the song's provisional job. Raises an error that names its index."""
    try:
        refuse_impossible(services, song.asked.options)
        origin, filename = _checked(services, song)
    except RequestError as error:
        raise with_index(index, error) from error
    place = parse_songhash(song.place) if song.kind == "job" else song.place
    fields = {"list": FETCHES, "fetch_url": SOURCES[song.kind] + place, "fetch_from": origin}
    fields |= song.asked.fields(caller().tenant)
    return fields | {"upload": record_json({"filename": song.asked.filename or filename})}


def _checked(services: Services, song: BatchSong) -> tuple[str, str]:
    """What may be shown of the place, and the file's name that it has."""
    if song.kind == "upload":
        upload = own_upload(services, song.place)
        if not upload.complete:
            raise UploadIncomplete(upload.offset, upload.size)
        return "upload", file_name(filename_in(upload.metadata))
    if song.kind == "job":
        job = known_job(services, song.place)
        if not caller().sees(job.tenant) or job.provisional or job.songhash != parse_songhash(song.place):
            raise NotFound(f"unknown job {song.place[:40]}", code="job_unknown")
        if job.mix_of:
            raise Conflict(f"{job.songhash} is a mix; name its song, {job.mix_of}")
        return "job", str(job.upload.get("filename") or "")
    if services.options.sources is None:
        raise Forbidden("this service does not accept songs by address (MSAAS_FETCH)")
    return services.options.sources.admit(song.place), file_name(last_part(song.place))


# --- the body


def _expect_batch() -> Body:
    """Raises to reject the request unread."""
    requested_key()
    return expect_json(WHAT, MAX_BYTES)


RECEIVERS = {"batches.create_batch": _expect_batch}
