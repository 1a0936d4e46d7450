"""What schemathesis has to know of our bodies, for tests that generate requests."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def as_bytes(_context: Any, value: Any) -> Any:
    """Of tus."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
