"""Prints what every part publishes in Redis: log lines and job events, readable or as JSON. Stores nothing.

Settings come from the environment as everywhere (REDIS_HOST, MSAAS_REDIS_PASSWORD). While Redis is away it goes on
trying; what was published in between is in the pods' own logs.
"""

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

if importlib.util.find_spec("msaas") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from redis.exceptions import RedisError

from msaas.errors import SettingsError
from msaas.redis_client import connect
from msaas.settings import Settings

CHANNELS = ("logs", "events")
POLL_SECONDS = 1.0
SILENT_SECONDS = 30  # a connection that said nothing this long is asked whether it lives
LONGEST_PAUSE_SECONDS = 10.0

Record = dict[str, Any]
Beat = Callable[[], None]


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    heartbeat = Path(tempfile.gettempdir()) / "msaas-logs.alive"  # its age is what the pod's probes look at
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"logs: {error}\n")
        return 2
    signal.signal(signal.SIGTERM, leave)  # as process 1 of a container it would be ignored
    written = as_json if args.json else Readable(progress=args.progress)
    try:
        for channel, record in records(settings, args.only, heartbeat.touch):
            for line in written(channel, record):
                sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    return 0


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="logs.py", description="Print every part's log lines and job events.")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, progress included")
    parser.add_argument("--only", choices=CHANNELS, help="one of the two channels")
    parser.add_argument("--progress", action="store_true", help="every report of progress, not only changes of stage")
    return parser.parse_args(argv)


def leave(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


# --- from Redis


def records(settings: Settings, only: str | None, beat: Beat) -> Iterator[tuple[str, Record]]:
    """Every record published from now on, for ever; reconnects."""
    pause = 1.0
    while True:
        beat()
        try:
            for found in listen(settings, (only,) if only else CHANNELS, beat):
                pause = 1.0
                if found:
                    yield found
        except (RedisError, OSError) as error:
            sys.stderr.write(f"logs: Redis at {settings.redis_host} is away: {error}; next try in {pause:g} s\n")
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def listen(settings: Settings, channels: tuple[str, ...], beat: Beat) -> Iterator[tuple[str, Record] | None]:
    """None at each turn without news."""
    redis: Any = connect(
        settings.redis_host,
        settings.redis_password,
        sentinel_password=settings.redis_sentinel_password,
        ca_file=settings.ca_file,
        health_check_seconds=SILENT_SECONDS,
    )
    with redis, redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(*channels)
        sys.stderr.write(f"logs: listening on {' and '.join(channels)} of {settings.redis_host}\n")
        while True:
            beat()
            message = pubsub.get_message(timeout=POLL_SECONDS)
            yield (message["channel"], read(message["data"])) if message else None


def read(text: str) -> Record:
    """Anybody may publish anything: what is no JSON object is a message."""
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"message": str(found)}


# --- to the terminal


def as_json(channel: str, record: Record) -> Iterator[str]:
    yield json.dumps({"channel": channel, **record}, ensure_ascii=False)


class Readable:
    """`time part host level message` for log lines, `time job songhash state stage` for events.

    Running jobs report every second: a line is worth only what changes.
    """

    def __init__(self, *, progress: bool = False) -> None:
        self.progress = progress
        self._seen: dict[str, tuple[str, str]] = {}

    def __call__(self, channel: str, record: Record) -> Iterator[str]:
        if channel == "logs":
            yield from log_lines(record)
        elif self._is_news(record):
            yield event_line(record)

    def _is_news(self, event: Record) -> bool:
        songhash = str(event.get("songhash"))
        now = (str(event.get("state")), str(event.get("stage")))
        before = self._seen.pop(songhash, None)
        if now[0] in ("queued", "running"):
            self._seen[songhash] = now
        return self.progress or now != before


def log_lines(record: Record) -> Iterator[str]:
    fields = [plain(record.get(name, "-")) for name in ("at", "part", "host", "level", "logger")]
    yield " ".join([*fields, plain(record.get("message", ""))])
    for line in str(record.get("traceback", "")).splitlines():
        yield f"    {plain(line)}"


def event_line(event: Record) -> str:
    at_ms = event.get("at_ms")
    seconds = at_ms / 1000 if isinstance(at_ms, int | float) else time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))
    stage, progress = plain(event.get("stage") or "-"), event.get("progress")
    share = f" {progress:.0%}" if isinstance(progress, int | float) else ""
    return f"{at} job {plain(event.get('songhash', '-'))} {plain(event.get('state', '-'))} {stage}{share}"


def plain(value: object) -> str:
    """Without control characters: a file name in a log line must not move the cursor."""
    return "".join(char if char.isprintable() else "·" for char in str(value))


if __name__ == "__main__":
    sys.exit(main())
