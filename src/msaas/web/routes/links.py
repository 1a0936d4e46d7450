"""Links to a job's files that a browser can open without an Authorization header."""

from __future__ import annotations

import time

from flask import Blueprint, Response, jsonify

from msaas.auth.access_control import caller
from msaas.auth.tickets import PARAMETER, SECONDS, for_share, ticket_for
from msaas.jobs import iso, stem_links, with_name
from msaas.web.http.disposition import requested_name
from msaas.web.openapi.document import Answer, as_json, documented
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE
from msaas.web.routes.jobs import known_job
from msaas.web.routes.tracks import NAME_PARAMETER, refuse_unless_done
from msaas.web.services import current_services
from msaas.web.view import job_links

calls = Blueprint("ticket_links", __name__)


@calls.get("/apiv1/jobs/<songhash>/links")
@documented(
    "Download links for browsers",
    "songs",
    description="With keys: signed links, each valid for one file and five minutes, for browser downloads and players, "
    "which send no `Authorization`. Without keys: plain links.",
    parameters=[NAME_PARAMETER],
    answers={200: Answer("The links", as_json("Links"))},
    problems={404: ["job_unknown", "job_not_done"], 503: QUEUE_UNAVAILABLE},
)
def get_links(songhash: str) -> Response:
    job = known_job(current_services(), songhash)
    refuse_unless_done(job)
    now, name = time.time(), requested_name()
    expires = iso(int(now) + SECONDS) if caller().key else None
    stems = {stem: _signed(path, now, name) for stem, path in stem_links(job).items()}
    archive = _signed(job_links(job.songhash)["stems_zip"], now, name)
    return jsonify(expires_at=expires, stems=stems, stems_zip=archive)


def _signed(path: str, now: float, name: str) -> str:
    """The name is not signed: it grants nothing."""
    key, link = caller().key, with_name(path, name)
    if not key:
        return link
    ticket, share = ticket_for(key, path, now), caller().share
    ticket = for_share(ticket, share.id) if share else ticket
    return f"{link}{'&' if name else '?'}{PARAMETER}={ticket}"
