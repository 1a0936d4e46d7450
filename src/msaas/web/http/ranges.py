"""Conditional and partial requests (RFC 9110, 13 and 14) for an object with a known size, ETag and date. No I/O."""

from __future__ import annotations

from datetime import datetime

from flask import Request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import is_resource_modified, parse_if_range_header

from msaas.storage import StoredObject


def is_unchanged(request: Request, stored: StoredObject) -> bool:
    """Whether the caller already has this object. Then the answer is 304."""
    return not is_resource_modified(request.environ, etag=stored.etag or None, last_modified=stored.modified)


def wanted_range(request: Request, stored: StoredObject, what: str = "track") -> tuple[int, int] | None:
    """First byte and the one after the last, or None for the whole object.

    An invalid range, or several, is answered with the whole object (allowed by RFC 9110, 14.2). Raises
    RequestedRangeNotSatisfiable (416) for a range outside the object.
    """
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or not _is_for(request, stored):
        return None
    start, stop = asked.ranges[0]
    if start < 0:  # the last n bytes; werkzeug's range_for_length rejects more than there are
        start = max(0, stored.size + start)
    stop = min(stored.size, stop if stop is not None else stored.size)
    if start >= stop:
        raise RequestedRangeNotSatisfiable(
            stored.size, description=f"{asked.to_header()} is outside the {what}'s {stored.size} bytes"
        )
    return start, stop


def _is_for(request: Request, stored: StoredObject) -> bool:
    """If-Range: the range applies only to the object that the caller has a part of."""
    if "If-Range" not in request.headers:
        return True
    # parse_if_range_header drops it, and weak comparison is not allowed
    if request.headers["If-Range"].startswith("W/"):
        return False
    condition = parse_if_range_header(request.headers["If-Range"])
    if condition.etag is not None:
        return condition.etag == stored.etag
    return condition.date is not None and condition.date == _whole_second(stored.modified)


def _whole_second(moment: datetime | None) -> datetime | None:
    """HTTP dates have no fractions of seconds."""
    return moment.replace(microsecond=0) if moment else None
