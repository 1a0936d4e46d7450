"""What each hostile song costs: `make hostile` posts the table of tests/hostile and decodes what is let in.

Markdown, a row a song: the answer, its seconds, the memory that the API and its processes took beyond what they had;
then what decoding made of it, its seconds, and the memory of the process that decoded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
from redis import Redis

from bench.support.stores import stores
from bench.support.watching import Watch
from msaas.audio.sandbox import launcher
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.wiring.stores import build_storage
from tests.hostile.conftest import SETTINGS, Service, heard
from tests.hostile.table import ACCEPTED, ROWS, Row
from tests.support.api import start_api, wait_alive
from tests.support.environment import service_environ

T = TypeVar("T")
MIB = 1 << 20


def costs(pid: int, work: Callable[[], T]) -> tuple[T, str]:
    """What the work gives, and `seconds | MiB`, of the process and its descendants, beyond what they had."""
    watch, began = Watch(pid, every_seconds=0.002), time.monotonic()
    before = watch.now_bytes()
    answer = work()
    seconds, peak = time.monotonic() - began, watch.end()
    return answer, f"{seconds:.2f} | {max(0, peak - before) / MIB:.0f}"


def tell(row: Row, service: Service, storage: Storage, folder: Path) -> None:
    song = row.make()
    answer, spent = costs(service.process.pid, lambda: service.post(song))
    body = answer.json()
    status = f"{answer.status_code} {body.get('code', '')}".strip()
    line = f"| `{row.claim}` | {len(song) / 1e6:.1f} | {status} | {spent} |"
    if (answer.status_code, body.get("code", "")) == ACCEPTED:
        path = folder / "song"
        storage.fetch_input(body["songhash"], path)
        (code, seconds), decoding = costs(psutil.Process().pid, lambda: heard(path))
        line += f" {code or f'{seconds:.1f} s of sound'} | {decoding} |"
    else:
        line += " | | |"
    print(line, flush=True)


def main() -> int:
    print("| song | MB | answer | seconds | MiB | decoded | seconds | MiB |\n|---|---|---|---|---|---|---|---|")
    with stores() as (valkey, weed, folder):
        environ = service_environ(valkey, weed, folder / "scratch") | SETTINGS
        process = start_api(environ, folder / "log")
        service = Service(f"http://127.0.0.1:{environ['MSAAS_PORT']}", process, folder)
        try:
            wait_alive(service.url, process, folder / "log")
            storage = build_storage(Settings.from_env(environ))
            service.post(ROWS[-1].make())  # the helper's start is not the first song's cost
            Redis.from_url(f"redis://{valkey.address}").flushdb()
            for row in ROWS:
                tell(row, service, storage, folder)
        finally:
            process.terminate()
            process.wait(timeout=30)
            launcher.stop()
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(description="What each hostile song of tests/hostile costs the API.").parse_args()
    sys.exit(main())
