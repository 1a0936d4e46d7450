"""Publishes log lines to the Redis channel `logs`. Never blocks or fails the caller: it drops lines and counts them."""

from __future__ import annotations

import json
import logging
import queue
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from redis import Redis

from msaas.telemetry.logs import redacted

CHANNEL = "logs"
CAPACITY_LINES = 1000
RETRY_SECONDS = 2.0
CLOSE_SECONDS = 1.0

_FORMATTER = logging.Formatter()


class LogShipper(logging.Handler):
    """Queues lines for a thread that publishes them. While Redis is away, up to a thousand lines wait.

    `dropped` counts lines beyond; after the next line that gets through, a line reports the number.
    """

    def __init__(
        self,
        publish: Callable[[str], object],
        component: str,
        *,
        capacity_lines: int = CAPACITY_LINES,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        super().__init__()
        self.component, self.host, self.dropped = component, socket.gethostname(), 0
        self._publish, self._retry_seconds = publish, retry_seconds
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=capacity_lines)
        self._closing = threading.Event()
        self._reported = 0
        self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is self._thread:
            return  # avoids publishing the publisher's own lines
        try:
            self._lines.put_nowait(self._line(record))
        except Exception:  # full, or invalid arguments: stderr has the line or the error
            self.dropped += 1

    def close(self) -> None:
        """Waits up to a second for queued lines; called by logging.shutdown at exit."""
        self._closing.set()
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            self.dropped += 1
        self._thread.join(CLOSE_SECONDS)
        super().close()

    def _line(self, record: logging.LogRecord) -> str:
        traceback = _FORMATTER.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return self._json(
            at, record.levelname.lower(), record.name, redacted(record.getMessage()), traceback and redacted(traceback)
        )

    def _json(self, at: str, level: str, logger: str, message: str, traceback: str | None = None) -> str:
        line = {
            "at": at,
            "part": self.component,
            "host": self.host,
            "level": level,
            "logger": logger,
            "message": message,
        }
        return json.dumps(line | ({"traceback": traceback} if traceback else {}), ensure_ascii=False)

    # --- the thread

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            if not self._send(line):
                return
            if self.dropped > self._reported:
                self._report_dropped()

    def _send(self, line: str) -> bool:
        """Retries until published; returns False if the process ends first."""
        while True:
            try:
                self._publish(line)
                return True
            except Exception:  # no line is worth losing the thread
                if self._closing.wait(self._retry_seconds):
                    return False

    def _report_dropped(self) -> None:
        count, self._reported = self.dropped - self._reported, self.dropped
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._send(self._json(at, "warning", __name__, f"log lines were dropped count={count}"))


def ship_logs(redis: Redis, component: str) -> LogShipper:
    """Also publishes the root logger's lines to Redis from here on. Call it after a fork, since threads do not survive
    one."""
    shipper = LogShipper(lambda line: redis.publish(CHANNEL, line), component)
    logging.getLogger().addHandler(shipper)
    return shipper
