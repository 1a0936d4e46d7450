"""POST /apiv1/separate: a song is received, probed, stored and queued. One by address is fetched later, one that
arrived in parts (routes/uploads.py) is put together."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from msaas.auth.access_control import caller, gate, record_limit
from msaas.errors import AudioError, Forbidden, InvalidOption, QueueFull, UploadIncomplete
from msaas.fetching.sources import last_part
from msaas.jobs import Job, State, record_json, songhash, with_name
from msaas.options import Options, parts_of
from msaas.queue import FETCHES
from msaas.queue.audio_length import AudioLength
from msaas.song_names import file_name, song_name
from msaas.storage.songs import is_waiting, is_whole, song_facts
from msaas.web.http.idempotency import HEADER, REPLAYED, answered_once, fingerprint, requested_key
from msaas.web.models import sample_rate_of, sources_of
from msaas.web.openapi.document import Answer, as_json, documented, header, query
from msaas.web.openapi.parts import ref
from msaas.web.openapi.request_schemas import OPTIONS_IN_TEXT, SONG_BODY
from msaas.web.openapi.schemas import AUDIO_CODES, BODY_CODES, STORES_UNAVAILABLE
from msaas.web.retention_locks import hold_for_posting
from msaas.web.routes.uploads import own_upload
from msaas.web.services import Services, current_services
from msaas.web.uploads.assembled import assembled
from msaas.web.uploads.bodies import expected, received
from msaas.web.uploads.body import Body
from msaas.web.uploads.json_body import ADDRESS, UPLOAD
from msaas.web.uploads.song_request import SongRequest, parse_request
from msaas.web.uploads.spool import Spool
from msaas.web.uploads.tus_headers import filename_in
from msaas.web.view import job_links

log = logging.getLogger(__name__)
calls = Blueprint("separate", __name__)

# clients of the first version compare this text
MESSAGE = "File uploaded to MinIO and task queued for processing"
FETCH_MESSAGE = "The song will be fetched from its address, then queued for processing"

LOCATION = {"Location": "the job", REPLAYED: "`true` if the Idempotency-Key was sent before; else missing"}
CALLED: dict[str, Any] = {
    "ended": {
        "{$request.body#/callback/url}": {
            "post": {
                "summary": "The job has ended",
                "requestBody": {"content": {"application/json": {"schema": ref("Called")}}},
                "responses": {"2XX": {"description": "delivered; any other response is retried later"}},
            }
        }
    }
}
# calls that take the songhash
SONGS = ("get_job", "get_events", "get_links", "get_stems", "get_waveforms", "cancel_job")


@calls.post("/apiv1/separate")
@documented(
    "Send a song",
    "songs",
    description="Options are members of the JSON, fields of the form, or, for raw bytes, in the query string. "
    "For JSON and forms, the query string must be empty. A song by address (`url`) is fetched first: `songhash` is a "
    "provisional ID until then, and its job becomes the song's job. `upload` submits a song that arrived in parts.",
    parameters=[
        *(query(name, schema) for name, schema in OPTIONS_IN_TEXT.items()),
        header(HEADER, "a string of the caller's choice: a request that is repeated with it gets the same answer"),
    ],
    body=SONG_BODY,
    answers={
        202: Answer("Queued: a new job, or one that runs again", as_json("Accepted"), LOCATION, SONGS),
        200: Answer("Already known: queued, running, or done with all stems", as_json("Accepted"), LOCATION, SONGS),
    },
    problems={
        400: ["bad_request", *BODY_CODES, "upload_cut_short", "bad_idempotency_key"],
        403: ["forbidden"],
        408: ["client_too_slow"],
        404: ["upload_unknown"],
        409: ["conflict", "request_in_progress", "upload_incomplete"],
        413: ["upload_too_large"],
        415: ["unsupported_body"],
        429: ["audio_quota_exceeded", "too_many_songs", "too_many_callbacks"],
        422: ["invalid_option", "callback_refused", "fetch_refused", "idempotency_key_reused", *AUDIO_CODES],
        503: [*STORES_UNAVAILABLE, "storage_full", "scratch_full", "busy", "queue_full"],
    },
    callbacks=CALLED,
)
def separate() -> Response:
    services = current_services()
    with received(request, services) as upload:
        if upload.song is None:
            by_reference = _by_upload if UPLOAD in upload.given else _by_address
            return by_reference(services, upload.given)
        song, asked = upload.song, parse_request(upload.given, services)
        mark = fingerprint(song.sha256, *asked.marks)
        return answered_once(services.answers, mark, lambda: _accept(services, song, asked))


def _expect_song() -> Body:
    requested_key()  # raises for an invalid one before the song is received
    return expected(request, current_services())


# by endpoint: creates the buffer for a body that is received before the call
RECEIVERS = {"separate.separate": _expect_song}


def _accept(services: Services, song: Spool, asked: SongRequest) -> Response:
    options, tenant = asked.options, caller().tenant
    refuse_impossible(services, options)
    name = songhash(song.sha256, options, tenant)
    hold_for_posting(services, name)
    job = services.queue.get(name)
    fields, callback = asked.fields(tenant), asked.callback_args
    if job is not None and is_whole(services.storage, job):
        # called at once; its stems were put back; the fields are needed if the record is deleted at this moment
        if asked.callback or job.removed:
            terms = gate().quotas.admission(caller().account)
            services.queue.submit(name, fields, callback=callback, admission=terms)
        return _answer(name, job.state, job.tags, asked.filename, new=False)
    about = song_facts(_probe_result(services, song), song.size, song.sha256, asked.filename)
    options.refuse_source(about["sample_rate"])
    options.refuse_part_of(about["duration_seconds"])
    fields |= {"upload": record_json(about)}
    audio = AudioLength.of(about, services.options.max_duration_seconds, options)
    if not is_waiting(services.storage, job):
        _refuse_before_storing(services, audio, job)
        services.storage.put_input(name, song.path)
    # submit also for a waiting job: it repairs a record whose list entry was deleted
    gone = job is not None and job.state is State.DONE
    terms = gate().quotas.admission(caller().account, audio)
    submitted = services.queue.submit(name, fields, stems_missing=gone, callback=callback, admission=terms)
    log.info(
        "submitted job=%s new=%s bytes=%d model=%s tenant=%s",
        *(name, submitted.new, song.size, options.model, tenant or "-"),
    )
    return _answer(name, submitted.state, about["tags"], asked.filename, new=submitted.new)


def _by_upload(services: Services, given: dict[str, Any]) -> Response:
    """Submits an upload that arrived in parts, as if its bytes had been posted."""
    name, asked = given[UPLOAD], parse_request(_without(given, UPLOAD), services)
    if not isinstance(name, str):
        raise InvalidOption("upload takes the ID of an upload, as text")
    mark = fingerprint(UPLOAD, name, *asked.marks)
    return answered_once(services.answers, mark, lambda: _submit_upload(services, name, asked))


def _submit_upload(services: Services, name: str, asked: SongRequest) -> Response:
    upload = own_upload(services, name)
    if not upload.complete:
        raise UploadIncomplete(upload.offset, upload.size)
    asked = replace(asked, filename=asked.filename or file_name(filename_in(upload.metadata)))
    with assembled(services.uploads, upload, services.options) as song:
        response = _accept(services, song, asked)
        services.uploads.submitted(upload, songhash(song.sha256, asked.options, caller().tenant))
    return response


def _by_address(services: Services, given: dict[str, Any]) -> Response:
    """Queues the fetch of a song: a provisional job, which leads to the song's job."""
    url, asked = given[ADDRESS], parse_request(_without(given, ADDRESS), services)
    if services.options.sources is None:
        raise Forbidden("this service does not accept songs by address (MSAAS_FETCH)")
    if not isinstance(url, str):
        raise InvalidOption("url takes the address of a song, as text")
    origin = services.options.sources.admit(url)
    asked = replace(asked, filename=asked.filename or file_name(last_part(url)))
    mark = fingerprint(ADDRESS, url, *asked.marks)
    return answered_once(services.answers, mark, lambda: _fetch(services, url, origin, asked))


def _without(given: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != member}


def _fetch(services: Services, url: str, origin: str, asked: SongRequest) -> Response:
    """`origin`: what of the URL may be shown."""
    refuse_impossible(services, asked.options)
    name, tenant = str(uuid.uuid4()), caller().tenant
    fields = {"list": FETCHES, "fetch_url": url, "fetch_from": origin} | asked.fields(tenant)
    fields |= {"upload": record_json({"filename": asked.filename})}
    terms = gate().quotas.admission(caller().account)
    services.fetches.submit(name, fields, callback=asked.callback_args, admission=terms)
    log.info("submitted job=%s from=%s model=%s tenant=%s", name, origin, asked.options.model, tenant or "-")
    # no name in the links: the song's tags, which are not known yet, come before it
    return _answer(name, State.QUEUED, {}, "", new=True, message=FETCH_MESSAGE, provisional=True)


def refuse_impossible(services: Services, options: Options) -> None:
    """Raises InvalidOption for a stem that the model does not have, or that is refined without being made or by a model
    that cannot; as far as the models' stems and rates are known."""
    if sources := sources_of(services, options.model):
        options.outputs(sources)
    rate = sample_rate_of(services, options.model)
    for stem, model in options.refine:
        parts_of(stem, sources_of(services, model) or (), complete=True)
        own = sample_rate_of(services, model)
        if None not in (rate, own) and own != rate:
            raise InvalidOption(f"{model} cannot refine {stem}: it needs {own} Hz, and {options.model} makes {rate} Hz")


def _refuse_before_storing(services: Services, audio: AudioLength, job: Job | None) -> None:
    """Checks the quotas before storing: a caller without quota must not fill the store.

    Submit checks again in the step that queues the job; a song stored and then refused is swept.
    """
    if job is not None and not job.state.ended:
        return  # its song was lost, its place in the queue was not
    quotas = gate().quotas
    if quotas.max_waiting and services.queue.counts().waiting >= quotas.max_waiting:
        raise QueueFull(f"the queue is full ({quotas.max_waiting} songs); retry later")
    record_limit(quotas.audio_room(caller().account, audio))


def _probe_result(services: Services, song: Spool) -> Any:
    """The result of the probe. A slow probe is charged to the caller as additional posts, refused or not."""
    account, quotas = caller().account, gate().quotas
    with services.probe_gate.place(account):
        try:
            found = services.probe(song.path)
        except AudioError as error:
            quotas.charge_computing(account, error.cpu_seconds)
            raise
    quotas.charge_computing(account, found.cpu_seconds)
    return found


def _answer(
    songhash_: str, state: State, tags: Mapping[str, str], filename: str, *, new: bool, **more: Any
) -> Response:
    """`links.named` carries this post's name: another post of the same bytes may have another."""
    links, called = job_links(songhash_), song_name(tags, filename)
    links["named"] = with_name(links["job"], called if called != song_name(tags) else "")
    about = {"state": state, "known": not new, "name": called or None}
    response = jsonify({"songhash": songhash_, "message": MESSAGE, **about, "links": links, **more})
    response.status_code = 202 if new else 200
    response.headers["Location"] = links["job"]
    return response
