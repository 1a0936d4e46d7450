"""The queue and the buckets, listed, and the debug calls that empty the buckets. Lists are bounded, and say so."""

from __future__ import annotations

import logging
from dataclasses import asdict
from itertools import islice
from urllib.parse import urlsplit

from flask import Blueprint, Request, Response, jsonify, request
from werkzeug.exceptions import MethodNotAllowed

from msaas.errors import Forbidden, InvalidOption, NotFound
from msaas.storage import BUCKETS, Storage
from msaas.web.services import services

log = logging.getLogger(__name__)
calls = Blueprint("lists", __name__)

QUEUE_PAGE = 1000
BUCKET_PAGE = 10_000


@calls.get("/apiv1/queue")
def get_queue() -> Response:
    queue = services().queue
    offset = number("offset", default=0, low=0, high=10**9)
    limit = number("limit", default=QUEUE_PAGE, low=1, high=QUEUE_PAGE)
    counts = queue.counts()
    return jsonify(
        queue=queue.waiting(offset, limit),
        total=counts.waiting,
        offset=offset,
        limit=limit,
        in_work=queue.in_work(),
        dead=queue.dead(),
        counts=asdict(counts),
    )


@calls.get("/apiv1/bucket")
def get_buckets() -> Response:
    """`truncated` is there only where a list is cut, and names the buckets."""
    storage = services().storage
    limit = number("limit", default=BUCKET_PAGE, low=1, high=BUCKET_PAGE)
    found = {bucket: _names(storage, bucket, limit + 1) for bucket in BUCKETS}
    cut = [bucket for bucket, names in found.items() if len(names) > limit]
    lists = {bucket: names[:limit] for bucket, names in found.items()}
    return jsonify(lists | ({"truncated": cut} if cut else {}))


def _names(storage: Storage, bucket: str, limit: int) -> list[str]:
    try:
        return [item.name for item in islice(storage.names(bucket), limit)]
    except NotFound:  # no bucket before the first song
        return []


def number(name: str, *, default: int, low: int, high: int) -> int:
    """A number of the query string. Raises InvalidOption naming it and its limits."""
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidOption(f"{name}={text[:40]!r} is not usable: it takes a whole number from {low} to {high}")
    return int(text)


# --- the debug calls


@calls.get("/apiv1/delete_contents", endpoint="delete_contents")
@calls.delete("/apiv1/contents")
def empty_buckets() -> Response:
    if request.method == "HEAD":  # comes with every GET route, and must change nothing
        raise MethodNotAllowed(["GET"])
    parts = services()
    if not parts.settings.debug_endpoints:
        raise Forbidden("emptying the buckets is switched off here; MSAAS_DEBUG_ENDPOINTS=true switches it on")
    refuse_cross_site(request)
    deleted = _empty(parts.storage)
    log.warning("buckets emptied objects=%d", deleted)
    return jsonify(message=f"deleted {deleted} objects from {' and '.join(BUCKETS)}", deleted=deleted)


def _empty(storage: Storage) -> int:
    try:
        return storage.empty()
    except NotFound:  # a bucket is not there
        storage.ensure_buckets()
        return storage.empty()


def refuse_cross_site(request: Request) -> None:
    """A link or an image on somebody else's page must not empty the buckets of whoever looks at it."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Forbidden("this call is not taken from another site's page")
    for header in ("Origin", "Referer"):
        origin = request.headers.get(header)
        if origin and urlsplit(origin).netloc != request.host:
            raise Forbidden(f"this call is not taken from another site's page ({header} is not {request.host})")
