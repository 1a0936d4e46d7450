"""Limits for clients: time, bytes, connections, concurrent requests. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

# A song's links and options take a tenth of these. gunicorn, nginx and Apache allow as much or a little less.
MAX_TARGET_BYTES = 8_000
MAX_HEAD_BYTES = 32_000
MAX_HEADERS = 100
# Pipelined requests per connection. Browsers send none, some HTTP clients a few.
MAX_PIPELINED = 16
KEEP_ALIVE_SECONDS = 5
# How long, and how much, a rejected client may still send before the connection is closed.
LINGER_SECONDS = 5.0
LINGER_AFTER_ERROR_SECONDS, LINGER_BYTES = 1.0, 2_000_000
LINGER_WITHOUT_KEY_SECONDS, LINGER_WITHOUT_KEY_BYTES = 1.0, 25_000_000  # a song, as the page sends it in one request


@dataclass(frozen=True)
class Limits:
    """`header_seconds`: from the connection, or a request's first byte, to the end of its headers.

    `slow_seconds` and `slow_bytes_per_second`: see `Pace`. `requests`: concurrent, per caller. `threads` run the app;
    one caller may use `threads_per_caller` of them at a time.
    """

    threads: int = 32
    connections: int = 4000
    header_seconds: float = 10.0
    slow_seconds: float = 120.0
    slow_bytes_per_second: float = 4000.0
    requests: int = 128

    @property
    def threads_per_caller(self) -> int:
        """Three quarters, so that one caller's slow requests do not block everybody else."""
        return max(1, self.threads * 3 // 4)
