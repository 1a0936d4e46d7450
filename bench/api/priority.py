"""How long a single song waits beside a thousand others: posts, posts with `priority=low`, and a batch.

    python -m bench.api.priority [--songs 1000] [--seconds 1]

The servers are those of bench.api.load. One worker is played: it claims as a worker does, and a song takes it
`--seconds`.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.api.load import Client, Songs, Stack, service
from msaas.client import Client as MsaasClient
from msaas.local.servers import LOOPBACK

SINGLE_SONGS = 5
CLIENTS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1, help="that the played worker needs for a song")
    options = parser.parse_args()
    print("| songs before it | places ahead of a single song | its wait, in songs' times |\n|---|---|---|")
    with service() as stack:
        for kind in ("normal", "low", "batch"):
            stack.queue.redis.flushall()
            print(_row(stack, options.songs, options.seconds, kind), flush=True)
    return 0


def _row(stack: Stack, songs: int, seconds: float, kind: str) -> str:
    make = Songs(stack.folder)
    sent = _send_batch(stack, make, songs) if kind == "batch" else _send_each(stack, make, songs, kind)
    with _playing(stack, seconds):
        singles = [_single(stack, make, seconds) for _ in range(SINGLE_SONGS)]
        ahead = max(place for _, place in singles)
        if kind == "normal":
            return f"| {sent} | {ahead} | {ahead} (by its place) |"
        waits = [_waited(stack, name) / seconds for name, _ in singles]
    return f"| {sent} | {ahead} | {min(waits):.2f} to {max(waits):.2f} |"


def _send_each(stack: Stack, make: Songs, songs: int, priority: str) -> str:
    path = f"/apiv1/separate?priority={priority}"
    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = list(pool.map(lambda song: Client(stack.settings).ask("POST", path, song)[0], _each(make, songs)))
    assert statuses == [202] * songs, set(statuses)
    return f"{songs} posts, {priority}"


def _send_batch(stack: Stack, make: Songs, songs: int) -> str:
    """Uploads in parts, then one request; returns when some of the songs were read."""
    client = MsaasClient(f"http://{LOOPBACK}:{stack.settings.port}", remember_uploads=False)
    uploads = [client.upload(song) for song in _each(make, songs)]
    began = time.monotonic()
    client.submit_batch([{"upload": upload} for upload in uploads])
    took = time.monotonic() - began
    while stack.queue.counts().waiting < min(songs, 20):
        time.sleep(0.1)
    return f"a batch of {songs}, queued in {took:.1f} s"


def _each(make: Songs, count: int) -> Iterator[bytes]:
    return (make.next() for _ in range(count))


def _single(stack: Stack, make: Songs, seconds: float) -> tuple[str, int]:
    """Posts a song in mid-run; its songhash, and how many songs wait ahead of it."""
    status, text = Client(stack.settings).ask("POST", "/apiv1/separate", make.next())
    assert status == 202, text
    name = str(json.loads(text)["songhash"])
    place = stack.queue.position(name) or 0
    time.sleep(seconds * 1.3)
    return name, place


def _waited(stack: Stack, name: str) -> float:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        job = stack.queue.get(name)
        if job and job.started_at and job.created_at:
            return job.started_at - job.created_at
        time.sleep(0.1)
    raise SystemExit(f"{name} was not started")


@contextmanager
def _playing(stack: Stack, seconds: float) -> Iterator[None]:
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            if claim := stack.queue.claim("played"):
                stopped.wait(seconds)
                stack.queue.finish(claim, {"stems": {}, "duration_seconds": 5}, 5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


if __name__ == "__main__":
    raise SystemExit(main())
