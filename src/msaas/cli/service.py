"""What all commands that call a service share: the arguments for its URL and key, and why a call is repeated."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from msaas.client import BadKey, Client
from msaas.client.names import printable

RETRIES = 2  # of a command that makes one call: an absent service is detected soon
NOTICE_AFTER_SECONDS = 2.0  # shorter waits are not worth a line
NOTICE_EVERY_SECONDS = 30.0
STREAK_SECONDS = 60.0  # calls that fail later than that after the last wait are another matter


def add_key_file(parser: argparse.ArgumentParser) -> None:
    """There is no `--key`: shells and process lists record arguments."""
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="file with the API key (default: MSAAS_API_KEY)")


def add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the service's address (MSAAS_URL, else http://localhost:5000)")
    add_key_file(parser)


def client_of(args: argparse.Namespace, **more: Any) -> Client:
    """Raises BadAddress, BadKey."""
    return Client(args.url, key=_key(args.key_file), on_retry=RetryNotice().show, **more)


class RetryNotice:
    """Says on standard error that a service does not answer and that the call is repeated, soon and not too often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began, self._ends, self._shown = math.inf, -math.inf, -math.inf

    def show(self, reason: str, seconds: float) -> None:
        now = self._clock()
        if now > self._ends:
            self._began = now
        self._ends = now + seconds + STREAK_SECONDS
        if now + seconds - self._began < NOTICE_AFTER_SECONDS or now - self._shown < NOTICE_EVERY_SECONDS:
            return
        self._shown = now
        tqdm.write(f"msaas: {printable(reason)}; trying again", file=sys.stderr)  # above a bar, if there is one


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"the key cannot be read from {path}: {getattr(error, 'strerror', None) or 'not text'}") from error
