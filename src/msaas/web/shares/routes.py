"""Links that share a song: made, listed and revoked by its tenant; /apiv1/share is what a link's holder reads first."""

from __future__ import annotations

import logging
import re
from typing import Any

from flask import Blueprint, Response, jsonify

from msaas.auth.access_control import caller, shared_by
from msaas.errors import Conflict, Forbidden, InvalidOption, KeyRefused, NotFound
from msaas.jobs import Job, iso, job_link
from msaas.mixing import page_text
from msaas.sharing.shares import Share
from msaas.web.http.small_json import BODY_PROBLEMS, NO_ROOM, expect_json, received_members
from msaas.web.openapi.document import Answer, as_json, documented
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE, STORES_UNAVAILABLE
from msaas.web.openapi.share_schemas import MAX_MIX, SHARE_BODY
from msaas.web.retention_locks import hold_for_posting
from msaas.web.routes.jobs import known_job
from msaas.web.routes.tracks import refuse_unless_done
from msaas.web.services import Services, current_services
from msaas.web.uploads.body import Body

log = logging.getLogger(__name__)
calls = Blueprint("shares", __name__)

WHAT = "a link"
DEFAULT_DAYS = 7.0
DAY_SECONDS = 86_400
MEMBERS = ("days", "mix")
_MIX = re.compile(r"[!-~]*")  # what follows the ? in the page's own addresses


@calls.post("/apiv1/jobs/<songhash>/shares")
@documented(
    "Share a song",
    "songs",
    description="Returns a link by which anybody can read this song for some days, without a key: its job, waveforms, "
    "stems and zip, nothing else. The token is in this answer only.",
    body=SHARE_BODY,
    answers={201: Answer("The link", as_json("NewShare"), {"Location": "the link, to revoke it"})},
    problems=BODY_PROBLEMS
    | {
        403: ["forbidden"],
        404: ["job_unknown", "job_not_done", "track_removed"],
        409: ["conflict"],
        503: [*STORES_UNAVAILABLE, *NO_ROOM],
    },
)
def create_share(songhash: str) -> Response:
    services = current_services()
    given = received_members(WHAT)
    hold_for_posting(services, known_job(services, songhash).songhash)
    job = _own_song(services, songhash)
    seconds, mix = _parsed(given, services.options.share_days)
    page_text.check(mix, tuple(job.stem_extensions), _seconds_of(job))
    share, token = services.shares.create(job.songhash, job.tenant, seconds, mix)
    log.info("shared job=%s share=%s days=%g who=%r", job.songhash, share.id, seconds / DAY_SECONDS, caller().account)
    response = jsonify(_view(share) | {"token": token, "url": f"/#/share/{token}"})
    response.status_code = 201
    response.headers["Location"] = f"{job_link(job.songhash)}/shares/{share.id}"
    return response


def _parsed(given: dict[str, Any], max_days: float) -> tuple[float, str]:
    """Seconds and mix. Raises InvalidOption, Forbidden."""
    if not max_days:
        raise Forbidden("songs are not shared by links here (MSAAS_SHARE_DAYS)")
    for name in given:
        if name not in MEMBERS:
            raise InvalidOption(f"unknown member {name[:40]!r}; a link has {', '.join(MEMBERS)}")
    days, mix = given.get("days", min(DEFAULT_DAYS, max_days)), given.get("mix", "")
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= max_days:
        raise InvalidOption(f"days is a number above 0 and at most {max_days:g}")
    if not isinstance(mix, str) or len(mix) > MAX_MIX or not _MIX.fullmatch(mix):
        raise InvalidOption(
            f"mix is not mix=…&loop=…&tempo=…&pitch=…&order=… as in the page's addresses, at most {MAX_MIX} characters"
        )
    return max(days * DAY_SECONDS, 1.0), mix


@calls.get("/apiv1/jobs/<songhash>/shares")
@documented(
    "Links that share a song",
    "songs",
    answers={200: Answer("The links that have not expired, the newest first; without their tokens", as_json("Shares"))},
    problems={404: ["job_unknown"], 503: QUEUE_UNAVAILABLE},
)
def get_shares(songhash: str) -> Response:
    services = current_services()
    job = known_job(services, songhash)
    return jsonify(shares=[_view(share) for share in services.shares.of(job.songhash)])


@calls.delete("/apiv1/jobs/<songhash>/shares/<share>")
@documented(
    "Revoke a link",
    "songs",
    description="The link ends at once; a download that has begun is not cut off.",
    answers={200: Answer("The links that are left", as_json("Shares"))},
    problems={404: ["job_unknown", "share_unknown"], 503: QUEUE_UNAVAILABLE},
)
def revoke_share(songhash: str, share: str) -> Response:
    services = current_services()
    job = known_job(services, songhash)
    services.shares.revoke(job.songhash, share)
    log.info("revoked job=%s share=%s", job.songhash, share[:40])
    return get_shares(songhash)


@calls.get("/apiv1/share")
@documented(
    "What a link shares",
    "songs",
    description="For the holder of a link, which sends its token as `Authorization: Bearer <token>`.",
    answers={200: Answer("The song, and the mix to show", as_json("Shared"))},
    problems={401: ["key_missing", "key_unknown"], 404: ["job_unknown"], 503: QUEUE_UNAVAILABLE},
)
def get_shared() -> Response:
    services = current_services()
    share = shared_by(services.shares.find)
    if share is None:
        raise KeyRefused("this link has expired or was revoked", "key_unknown")
    job = known_job(services, share.songhash)
    about = {"songhash": job.songhash, "name": job.name or None, "mix": share.mix, "expires_at": iso(share.expires_at)}
    return jsonify(about)


def _own_song(services: Services, songhash: str) -> Job:
    """A song that can be shared. Raises NotFound, Conflict."""
    job = known_job(services, songhash)
    if job.mix_of:
        raise Conflict(f"{job.songhash} is a mix; share its song, {job.mix_of}")
    refuse_unless_done(job)
    if not services.storage.stems_of(job.songhash):
        raise NotFound(f"the stems of job {job.songhash} were removed; post the song again", code="track_removed")
    return job


def _seconds_of(job: Job) -> float | None:
    rate, samples = job.result.get("sample_rate"), job.result.get("samples")
    return samples / rate if isinstance(rate, int) and isinstance(samples, int) and rate > 0 else None


def _view(share: Share) -> dict[str, Any]:
    times = {"created_at": iso(share.created_at), "expires_at": iso(share.expires_at)}
    return {"id": share.id, "songhash": share.songhash, "mix": share.mix, **times}


def _expect_share() -> Body:
    return expect_json(WHAT)


RECEIVERS = {"shares.create_share": _expect_share}
