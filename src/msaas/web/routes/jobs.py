"""Jobs over HTTP: state, cancellation, and all stems as a zip."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify

from msaas.auth.access_control import caller
from msaas.errors import Conflict, NotFound, StorageUnavailable
from msaas.jobs import Job, State, Track, job_link, parse_songhash
from msaas.queue import BATCHES, Queue
from msaas.song_names import stem_file_name
from msaas.storage import StoredObject
from msaas.web.eta import eta_seconds
from msaas.web.http.archive import Member, part_of, zip_chunks, zip_size
from msaas.web.http.disposition import requested_name
from msaas.web.openapi.document import Answer, as_json, documented
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE, STORES_UNAVAILABLE
from msaas.web.retention_locks import held
from msaas.web.routes.tracks import (
    CONTENT_RANGE,
    NAME_PARAMETER,
    RANGE_PARAMETERS,
    TRACK_HEADERS,
    answer,
    find,
    refuse_unless_done,
)
from msaas.web.services import Services, current_services
from msaas.web.view import job_view, why_waiting

log = logging.getLogger(__name__)
calls = Blueprint("jobs", __name__)

ZIP = {"application/zip": {"type": "string", "contentMediaType": "application/zip"}}


def known_job(services: Services, songhash: str) -> Job:
    """Raises NotFound(job_unknown), also for an invalid songhash."""
    name = parse_songhash(songhash)
    job = find_job(services, name)
    if job is None:
        raise NotFound(f"unknown job {name}", code="job_unknown")
    return job


def find_job(services: Services, name: str) -> Job | None:
    """The job, or the one that a provisional job leads to. None without a record. Raises NotFound for a batch."""
    job = services.queue.get(name)
    if job is not None and job.listed_in == BATCHES:
        raise NotFound(f"{name} is a batch: see /apiv1/batches/{name}", code="job_unknown")
    return services.queue.get(job.leads_to) if job is not None and job.leads_to else job


def current_view(services: Services, job: Job, name: str = "", *, public: bool = False) -> dict[str, Any]:
    """The job's view with its queue position, ETA and reason for waiting. `name`: what the caller's link calls it.
    `public`: without what concerns its tenant alone."""
    around = _queued(services, job) if job.state is State.QUEUED else {"eta": _eta(services, job)}
    callbacks = () if public else services.callbacks.of(job.songhash)
    return job_view(job, callbacks=callbacks, name=name, **around)


def _queued(services: Services, job: Job) -> dict[str, Any]:
    if job.provisional:
        return {"position": services.fetches.position(job.songhash)}
    workers = services.queue.workers()
    waiting_for = why_waiting(workers, job)
    if job.mix_of:
        return {"position": services.mixes.position(job.songhash), "waiting_for": waiting_for}
    position = services.queue.position(job.songhash)
    if waiting_for:
        return {"position": position, "waiting_for": waiting_for}  # no estimate
    line = workers.runnable(services.queue.line(position or 0))
    return {"position": position, "eta": _eta(services, job, line=line, workers=workers.offering(*job.models))}


def _eta(services: Services, job: Job, **known: Any) -> float | None:
    pace = {} if job.state.ended or job.provisional or job.mix_of else services.queue.pace()
    return eta_seconds(job, pace=pace, now=time.time(), **known)


@calls.get("/apiv1/jobs/<songhash>")
@documented(
    "State of a job",
    "jobs",
    parameters=[NAME_PARAMETER],
    description="A provisional ID gives the song's job once its song is fetched; `Content-Location` says which.",
    answers={200: Answer("The job", as_json("Job"), {"Content-Location": "the job that a provisional ID leads to"})},
    problems={404: ["job_unknown"], 503: QUEUE_UNAVAILABLE},
)
def get_job(songhash: str) -> Response:
    services = current_services()
    job = known_job(services, songhash)
    response = jsonify(current_view(services, job, requested_name(), public=bool(caller().share)))
    if job.songhash != parse_songhash(songhash):
        response.headers["Content-Location"] = job_link(job.songhash)
    return response


@calls.delete("/apiv1/jobs/<songhash>")
@documented(
    "Cancel a job",
    "jobs",
    description="Removes the job from the queue, or stops its run within two seconds. A failed job stays failed.",
    answers={200: Answer("The job", as_json("Job"))},
    problems={404: ["job_unknown"], 409: ["conflict"], 503: STORES_UNAVAILABLE},
)
def cancel_job(songhash: str) -> Response:
    services = current_services()
    name = parse_songhash(songhash)
    job = find_job(services, name)
    name = job.songhash if job else name
    found = _queue_of(services, job).cancel(name)
    if job and job.provisional and found is State.DONE:  # its song was queued at this moment
        name = known_job(services, name).songhash
        found = services.queue.cancel(name)
    if found is None:
        raise NotFound(f"unknown job {name}", code="job_unknown")
    if found is State.DONE:
        raise Conflict(f"job {name} is done; remove its tracks instead (DELETE /apiv1/remove/{name}-<stem>)")
    if not found.ended:
        try:
            services.storage.remove_stems_of(
                name
            )  # of an earlier run; the sweep removes what the current run still stores
        except StorageUnavailable as error:  # the job is cancelled nevertheless
            log.warning("stems of a cancelled job are left to the sweep job=%s reason=%s", name, error)
        log.info("cancelled job=%s was=%s", name, found)
    return jsonify(current_view(services, known_job(services, name)))


def _queue_of(services: Services, job: Job | None) -> Queue:
    if job and job.provisional:
        return services.fetches
    return services.mixes if job and job.mix_of else services.queue


@calls.get("/apiv1/jobs/<songhash>/stems.zip")
@documented(
    "All stems as a zip",
    "songs",
    description="Created while it is sent. The same stems under the same name give the same bytes: a download can be "
    "resumed.",
    parameters=[NAME_PARAMETER, *RANGE_PARAMETERS],
    answers={
        200: Answer("The stems", ZIP, TRACK_HEADERS),
        206: Answer("The requested range of the archive", ZIP, TRACK_HEADERS | CONTENT_RANGE),
        304: Answer("Unchanged", headers=TRACK_HEADERS),
    },
    problems={
        404: ["job_unknown", "job_not_done", "track_removed"],
        416: ["requested_range_not_satisfiable"],
        503: STORES_UNAVAILABLE,
    },
    head=True,
)
def get_stems(songhash: str) -> Response:
    services = current_services()
    job = known_job(services, songhash)
    refuse_unless_done(job)
    name = requested_name() or job.name
    stems = {
        _name_in_zip(name, stem, extension): find(services, Track(job.songhash, stem, None))
        for stem, extension in job.stem_extensions.items()
    }
    archive = _archive(job, stems)

    def read(start: int, stop: int) -> Iterator[bytes]:
        chunks = zip_chunks(_members(services, stems))
        return held(services, job.songhash, part_of(chunks, start, stop))

    response = answer(archive, read, save_as=f"{name}.zip" if name else archive.name, what="archive")
    response.content_type = "application/zip"
    return response


def _archive(job: Job, stems: Mapping[str, StoredObject]) -> StoredObject:
    """The zip described as a stored object: its size, and an ETag that changes if a stem or a name changes."""
    facts = [(inside, stored.name, stored.size, stored.etag) for inside, stored in stems.items()]
    etag = hashlib.sha256(repr(facts).encode()).hexdigest()
    modified = max((stored.modified for stored in stems.values() if stored.modified), default=None)
    size = zip_size((inside, stored.size) for inside, stored in stems.items())
    return StoredObject(f"{job.songhash}.zip", size, etag, modified)


def _members(services: Services, stems: Mapping[str, StoredObject]) -> Iterator[Member]:
    for inside, stored in stems.items():
        chunks = services.storage.read_stem(stored.name, 0, stored.size)
        yield Member(inside, stored.size, stored.modified, chunks)


def _name_in_zip(name: str, stem: str, extension: str) -> str:
    """In a folder of the song's name, so that two songs can be unpacked in one place."""
    return f"{name}/{stem_file_name(name, stem, extension)}" if name else f"{stem}.{extension}"
