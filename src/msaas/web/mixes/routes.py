"""POST /apiv1/jobs/<songhash>/mix: queues a mix of a song's stems. The mix is a job, read and deleted as others are."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify

from msaas.auth.access_control import caller, gate
from msaas.callbacks.outbox import NO_CALLBACK_ARGS, CallbackRequest
from msaas.errors import Conflict
from msaas.formats import STEMS_FILE
from msaas.jobs import Job, State, Track, job_link, record_json, with_name
from msaas.mixing.request import CALLBACK, MixRequest
from msaas.queue import MIXES
from msaas.storage.songs import is_whole
from msaas.web.http.disposition import requested_name
from msaas.web.http.small_json import BODY_PROBLEMS, NO_ROOM, expect_json, received_members
from msaas.web.openapi.document import Answer, as_json, documented
from msaas.web.openapi.mix_schemas import MIX_BODY
from msaas.web.openapi.schemas import STORES_UNAVAILABLE
from msaas.web.retention_locks import hold_for_posting
from msaas.web.routes.jobs import current_view, known_job
from msaas.web.routes.separate import CALLED
from msaas.web.routes.tracks import NAME_PARAMETER, find, refuse_unless_done
from msaas.web.services import Services, current_services
from msaas.web.uploads.body import Body
from msaas.web.uploads.callback import parse_callback

log = logging.getLogger(__name__)
calls = Blueprint("mixes", __name__)

WHAT = "a mix"
LOCATION = {"Location": "the mix, a job"}
MIX_CALLS = ("get_job", "get_events", "get_links", "cancel_job")


@calls.post("/apiv1/jobs/<songhash>/mix")
@documented(
    "Mix the stems of a song",
    "songs",
    description="A worker renders the mix, with the gains and pans of the page's player, to exactly the samples of the "
    "song. The answer is the mix's own job: `songhash` is its ID, its one stem is called `mix`. The same mix of the "
    "same song is the same job. It is deleted with the song. A mix that would clip is turned down as a whole, except "
    "in 32-bit float; `mix.gain_db` and a warning say by how much. `callback` is called when the mix's job ends, at "
    "once if it is done.",
    parameters=[NAME_PARAMETER],
    body=MIX_BODY,
    answers={
        202: Answer("Queued: a new mix, or one that is rendered again", as_json("Job"), LOCATION, MIX_CALLS),
        200: Answer("Already known: queued, running or done", as_json("Job"), LOCATION, MIX_CALLS),
    },
    problems=BODY_PROBLEMS
    | {
        404: ["job_unknown", "job_not_done", "track_removed"],
        409: ["conflict"],
        422: ["invalid_option", "callback_refused"],
        429: ["too_many_songs", "too_many_callbacks"],
        503: [*STORES_UNAVAILABLE, *NO_ROOM, "queue_full"],
    },
    callbacks=CALLED,
)
def create_mix(songhash: str) -> Response:
    services = current_services()
    given = received_members(WHAT)
    callback = parse_callback(given.pop(CALLBACK, None), services.options.callback_targets)
    song = known_job(services, songhash)
    hold_for_posting(services, song.songhash)
    song = known_job(services, song.songhash)  # it may have expired just now
    asked = _checked(services, song, given)
    name = asked.name(song.songhash)
    hold_for_posting(services, name)
    new = _submit(services, name, song, asked, callback)
    response = jsonify(current_view(services, known_job(services, name), requested_name()))
    response.status_code = 202 if new else 200
    response.headers["Location"] = with_name(job_link(name), requested_name())
    return response


def _checked(services: Services, song: Job, given: dict[str, object]) -> MixRequest:
    """Raises InvalidOption, NotFound, Conflict."""
    if song.mix_of:
        raise Conflict(f"{song.songhash} is a mix itself; mix the stems of its song, {song.mix_of}")
    refuse_unless_done(song)
    if STEMS_FILE in song.stem_extensions.values():
        raise Conflict(f"the stems of this song are in one {STEMS_FILE}; separate it into another format to mix it")
    asked = MixRequest.parse(given, tuple(song.stem_extensions))
    rate, samples, song_rate = (
        song.result.get("sample_rate"),
        song.result.get("samples"),
        song.upload.get("sample_rate"),
    )
    if isinstance(rate, int):
        asked.rate(rate, song_rate if isinstance(song_rate, int) else None)
    if isinstance(rate, int) and isinstance(samples, int) and rate > 0:
        asked = asked.of_song(rate, samples)
    for stem in asked.levels:
        find(services, Track(song.songhash, stem, None))
    return asked


def _submit(services: Services, name: str, song: Job, asked: MixRequest, callback: CallbackRequest | None) -> bool:
    """Returns whether the mix is to be rendered. The callback of one that is done is due at once."""
    known = services.mixes.get(name)
    gone = known is not None and known.state is State.DONE and not is_whole(services.storage, known)
    about = {"tags": song.tags, "filename": song.upload.get("filename")}
    fields = {"list": MIXES, "mix_of": song.songhash, "mix": asked.to_json(), "tenant": song.tenant}
    fields |= {"upload": record_json(about)} | ({"model": song.model_ran} if song.model_ran else {})
    terms = gate().quotas.admission(caller().account)
    args = callback.args if callback else NO_CALLBACK_ARGS
    submitted = services.mixes.submit(name, fields, stems_missing=gone, callback=args, admission=terms)
    log.info("submitted mix=%s song=%s new=%s format=%s", name, song.songhash, submitted.new, asked.format)
    return submitted.new


def _expect_mix() -> Body:
    return expect_json(WHAT)


RECEIVERS = {"mixes.create_mix": _expect_mix}
