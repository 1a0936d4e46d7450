"""Lists a tenant's songs, the queue and the buckets, and has the debug calls that empty the buckets. All bounded."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from itertools import islice
from urllib.parse import urlsplit

from flask import Blueprint, Request, Response, jsonify, request
from werkzeug.exceptions import MethodNotAllowed

from msaas.auth.access_control import caller
from msaas.errors import Forbidden, InvalidOption, NotFound, QueueUnavailable
from msaas.jobs import State, parse_state
from msaas.library import Filter
from msaas.queue import Queue
from msaas.queue.worker_registry import Workers
from msaas.storage import BUCKETS, Storage
from msaas.web.openapi.document import Answer, as_json, documented, query
from msaas.web.openapi.schemas import QUEUE_UNAVAILABLE, STORAGE_UNAVAILABLE
from msaas.web.services import current_services
from msaas.web.view import job_view, why_waiting

log = logging.getLogger(__name__)
calls = Blueprint("lists", __name__)

QUEUE_PAGE = 1000
MAX_OFFSET = 10**9
BUCKET_PAGE = 1000
MAX_BUCKET_PAGE = 10_000  # a second and more of the API's processor time, while others wait
JOBS_PAGE = 200
JOBS_QUERY = ("limit", "before", "state", "q")
MAX_SEARCH = 200  # characters
NOTED_AT_ONCE = 1000  # jobs whose stems were removed
MAX_NAME_BYTES = 1024  # of an S3 object


def whole_number(low: int, high: int, default: int) -> dict[str, object]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


@calls.get("/apiv1/jobs")
@documented(
    "One's own songs",
    "jobs",
    description="Those posted last first: with keys, of the key's tenant. The next page: `next` of this one as "
    "`before`. A page of a search may have fewer songs than the limit, or none, and be followed by another.",
    parameters=[
        query("limit", whole_number(1, JOBS_PAGE, 50), "maximum number of jobs"),
        query("before", {"type": "string", "maxLength": 60}, "`next` of the page before"),
        query("state", {"type": "string", "enum": [state.value for state in State]}, "only jobs in this state"),
        query("q", {"type": "string", "maxLength": MAX_SEARCH}, "only songs with this text in their name or tags"),
    ],
    answers={200: Answer("The jobs", as_json("Jobs"))},
    problems={422: ["invalid_option"], 503: QUEUE_UNAVAILABLE},
)
def get_jobs() -> Response:
    """Without queue positions and estimates, which need a look at the whole queue for each, but with what each waits
    for."""
    for name in request.args:
        if name not in JOBS_QUERY:
            raise InvalidOption(f"unknown parameter {name[:40]!r}; the parameters are {', '.join(JOBS_QUERY)}")
    text, limit = request.args.get("q", ""), number("limit", default=50, low=1, high=JOBS_PAGE)
    if len(text) > MAX_SEARCH:
        raise InvalidOption(f"q has {len(text)} characters; at most {MAX_SEARCH} are searched for")
    songs, only = current_services().songs, Filter(_state(), text)
    page = songs.page(caller().tenant, limit, before=request.args.get("before", ""), only=only)
    queued = any(job.state is State.QUEUED for job in page.jobs)
    workers = current_services().queue.workers() if queued else Workers()
    jobs = [job_view(job, waiting_for=why_waiting(workers, job)) for job in page.jobs]
    return jsonify(jobs=jobs, next=page.next or None)


def _state() -> State | None:
    text = request.args.get("state")
    state = parse_state(text)
    if text is not None and state is None:
        raise InvalidOption(f"state={text[:40]!r} is none of {', '.join(State)}")
    return state


@calls.get("/apiv1/queue")
@documented(
    "Waiting, running and dead jobs",
    "store",
    parameters=[
        query("offset", whole_number(0, MAX_OFFSET, 0), "number of waiting songs to skip"),
        query("limit", whole_number(1, QUEUE_PAGE, QUEUE_PAGE), "maximum number of waiting songs to list"),
    ],
    answers={200: Answer("Songhashes", as_json("Queue"))},
    problems={422: ["invalid_option"], 503: QUEUE_UNAVAILABLE},
)
def get_queue() -> Response:
    services = current_services()
    queue, to_fetch = services.queue, services.fetches.counts()
    offset = number("offset", default=0, low=0, high=MAX_OFFSET)
    limit = number("limit", default=QUEUE_PAGE, low=1, high=QUEUE_PAGE)
    counts = queue.counts()
    return jsonify(
        queue=queue.waiting(offset, limit),
        total=counts.waiting,
        offset=offset,
        limit=limit,
        in_work=queue.in_work(),
        dead=queue.dead(),
        counts=asdict(counts) | {"to_fetch": to_fetch.waiting, "fetching": to_fetch.in_work},
        troubles=queue.workers().reasons,
    )


@calls.get("/apiv1/bucket")
@documented(
    "Stored objects",
    "store",
    description="Names in lexicographic order. The next page: `bucket`, and the last name of this page as `after`.",
    parameters=[
        query("limit", whole_number(1, MAX_BUCKET_PAGE, BUCKET_PAGE), "maximum number of names per bucket"),
        query("bucket", {"type": "string", "enum": list(BUCKETS)}, "list only this bucket; the other list is empty"),
        query("after", {"type": "string", "maxLength": MAX_NAME_BYTES}, "start after this name"),
    ],
    answers={200: Answer("Object names by bucket", as_json("Buckets"))},
    problems={422: ["invalid_option"], 503: STORAGE_UNAVAILABLE},
)
def get_buckets() -> Response:
    """`truncated` lists the buckets with more names than the limit, if any."""
    storage = current_services().storage
    limit = number("limit", default=BUCKET_PAGE, low=1, high=MAX_BUCKET_PAGE)
    wanted, after = _wanted_buckets(), _after()
    found = {bucket: _names(storage, bucket, after, limit + 1) if bucket in wanted else [] for bucket in BUCKETS}
    cut = [bucket for bucket, names in found.items() if len(names) > limit]
    lists = {bucket: names[:limit] for bucket, names in found.items()}
    return jsonify(lists | ({"truncated": cut} if cut else {}))


def _wanted_buckets() -> tuple[str, ...]:
    bucket = request.args.get("bucket")
    if bucket is None:
        return BUCKETS
    if bucket not in BUCKETS:
        raise InvalidOption(f"unknown bucket={bucket[:40]!r}; the buckets are {' and '.join(BUCKETS)}")
    return (bucket,)


def _after() -> str:
    name = request.args.get("after", "")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or not name.isprintable():
        raise InvalidOption(f"after={name[:40]!r} is not an object name")
    return name


def _names(storage: Storage, bucket: str, after: str, limit: int) -> list[str]:
    try:
        return [item.name for item in islice(storage.names(bucket, after), limit)]
    except NotFound:  # the bucket is created with the first song
        return []


def number(name: str, *, default: int, low: int, high: int) -> int:
    """A number from the query string. Raises InvalidOption with its limits."""
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidOption(f"{name}={text[:40]!r} is not a whole number from {low} to {high}")
    return int(text)


# --- the debug calls


@calls.get("/apiv1/delete_contents", endpoint="delete_contents")
@calls.delete("/apiv1/contents")
@documented(
    "Empty the buckets",
    "store",
    description="For debugging; requires MSAAS_DEBUG_ENDPOINTS=true. Requests from another site's page are refused.",
    answers={200: Answer("Number of deleted objects", as_json("Emptied"))},
    problems={403: ["forbidden"], 503: STORAGE_UNAVAILABLE},
    deprecated=["/apiv1/delete_contents"],
)
def empty_buckets() -> Response:
    if request.method == "HEAD":  # Flask adds HEAD to every GET route; it must change nothing
        raise MethodNotAllowed(["GET"])
    services = current_services()
    if not services.options.debug_endpoints:
        raise Forbidden("emptying the buckets is disabled; MSAAS_DEBUG_ENDPOINTS=true enables it")
    refuse_cross_site(request)
    began = time.monotonic()
    deleted = services.storage.empty()
    log.warning("buckets emptied objects=%d", deleted)
    _note_emptied(services.queue, began)
    return jsonify(message=f"deleted {deleted} objects from {' and '.join(BUCKETS)}", deleted=deleted)


def _note_emptied(queue: Queue, began: float) -> None:
    """In the records of the jobs that were done before. Without Redis, the buckets are emptied all the same."""
    try:
        ended = queue.ended_before(time.monotonic() - began)
        while batch := list(islice(ended, NOTED_AT_ONCE)):
            queue.note_all_removed(batch)
    except QueueUnavailable as error:
        log.warning("not noted as removed reason=%s", error)


def refuse_cross_site(request: Request) -> None:
    """A link or an image on another site must not empty the buckets."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Forbidden("this call is refused from another site's page")
    for header in ("Origin", "Referer"):
        origin = request.headers.get(header)
        if origin and urlsplit(origin).netloc != request.host:
            raise Forbidden(f"this call is refused from another site's page ({header} is not {request.host})")
