"""What a client may take: time, bytes, connections, requests at once. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

# A song's links and options fit into a tenth of these. gunicorn, nginx and Apache allow as much or a little less.
LONGEST_TARGET_BYTES = 8_000
LARGEST_HEAD_BYTES = 32_000
MOST_HEADERS = 100
# Requests sent ahead on one connection. Browsers send none, HTTP clients that do send a few.
MOST_PIPELINED = 16
KEEP_ALIVE_SECONDS = 5
# How long a refused client may go on sending before the connection is closed, and how much.
LINGER_SECONDS = 5.0
PARTING_SECONDS, PARTING_BYTES = 1.0, 2_000_000


@dataclass(frozen=True)
class Limits:
    """`header_seconds`: from the connection, or a request's first byte, to the end of its headers.

    `slow_seconds` and `slow_bytes_per_second`: see `Pace`. `requests`: of one caller at once.
    `threads` run the app; `threads_per_caller` of them may be one caller's at a time.
    """

    threads: int = 32
    connections: int = 4000
    header_seconds: float = 10.0
    slow_seconds: float = 120.0
    slow_bytes_per_second: float = 4000.0
    requests: int = 128

    @property
    def threads_per_caller(self) -> int:
        """Three quarters, so that no caller's slow requests hold up everybody else."""
        return max(1, self.threads * 3 // 4)
