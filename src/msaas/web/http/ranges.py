"""Conditional and partial requests (RFC 9110, 13 and 14) on an object whose size, ETag and date are known. No I/O."""

from __future__ import annotations

from datetime import datetime

from flask import Request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import is_resource_modified, parse_if_range_header

from msaas.storage import StoredObject


def is_unchanged(request: Request, stored: StoredObject) -> bool:
    """Does the caller hold this very object already? Then 304 is the answer."""
    return not is_resource_modified(request.environ, etag=stored.etag or None, last_modified=stored.modified)


def wanted_range(request: Request, stored: StoredObject, what: str = "track") -> tuple[int, int] | None:
    """First byte and the one past the last, or None for the whole object.

    What is no byte range, or several, is answered with the whole (RFC 9110, 14.2 allows it). Raises
    RequestedRangeNotSatisfiable (416) for one that lies outside.
    """
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or not _is_for(request, stored):
        return None
    start, stop = asked.ranges[0]
    if start < 0:  # the last so many bytes; werkzeug's range_for_length refuses more than there are
        start = max(0, stored.size + start)
    stop = min(stored.size, stop if stop is not None else stored.size)
    if start >= stop:
        raise RequestedRangeNotSatisfiable(
            stored.size, description=f"{asked.to_header()} is outside the {what}'s {stored.size} bytes"
        )
    return start, stop


def _is_for(request: Request, stored: StoredObject) -> bool:
    """If-Range: the range is wanted only of the object that the caller has the beginning of."""
    if "If-Range" not in request.headers:
        return True
    if request.headers["If-Range"].startswith("W/"):  # parse_if_range_header forgets it, and weak is not the same
        return False
    condition = parse_if_range_header(request.headers["If-Range"])
    if condition.etag is not None:
        return condition.etag == stored.etag
    return condition.date is not None and condition.date == _whole_second(stored.modified)


def _whole_second(moment: datetime | None) -> datetime | None:
    """HTTP dates know no fractions."""
    return moment.replace(microsecond=0) if moment else None
