"""Peak memory of the API while many clients post the largest song at once, as base64 in JSON: `make bench-uploads`.

Starts a Valkey, an S3 server and the API of its own; needs twice the bodies' size on disk for a while.
"""

from __future__ import annotations

import argparse
import base64
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from bench.support.stores import stores
from bench.support.watching import Watch
from msaas.audio.encode.wav import wav_header
from msaas.local.servers import Valkey, Weed, free_port

PIECE_BYTES = 3 << 18  # whole groups of three, so that pieces' base64 joins without padding
GIVE_UP_SECONDS = 900


def body(client: int, song_bytes: int) -> Iterator[bytes]:
    """A song of silence that is another one for each client: `song_bytes` of WAV in base64 in JSON."""
    head = wav_header(44_100, 2, song_bytes // 8)
    first = head + struct.pack("<d", client * 1e-9)
    first += bytes(-len(first) % 3)
    left = song_bytes - len(first)
    silence = base64.b64encode(bytes(PIECE_BYTES))
    yield b'{"mp3": "' + base64.b64encode(first)
    while left >= PIECE_BYTES:
        yield silence
        left -= PIECE_BYTES
    yield base64.b64encode(bytes(left)) + b'"}'


def post(url: str, client: int, song_bytes: int, answers: Counter[str]) -> None:
    until = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < until:
        kind = {"Content-Type": "application/json"}
        answer = requests.post(url, data=body(client, song_bytes), headers=kind, timeout=GIVE_UP_SECONDS)
        said = answer.json()
        answers[f"{answer.status_code} {said.get('code', said.get('state'))}"] += 1
        if answer.status_code != 503:
            return
        time.sleep(float(answer.headers.get("Retry-After", 5)))


def wait_alive(url: str) -> None:
    for _ in range(600):
        try:
            requests.get(f"{url}/healthz", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("the API does not answer")


def measure(valkey: Valkey, weed: Weed, folder: Path, clients: int, song_bytes: int) -> None:
    port = free_port()
    environ = os.environ | {
        "REDIS_HOST": valkey.address,
        "MINIO_HOST": weed.address,
        "MINIO_ACCESS_KEY": weed.keys.access,
        "MINIO_SECRET_KEY": weed.keys.secret,
        "MSAAS_PORT": str(port),
        "MSAAS_SCRATCH_DIR": str(folder),
        "MSAAS_MAX_UPLOAD_BYTES": str(song_bytes),
        "MSAAS_LOG_LEVEL": "error",
    }
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-P", "-m", "msaas.web"], env=environ)
    try:
        wait_alive(url)
        watch, answers, began = Watch(server.pid), Counter[str](), time.monotonic()
        idle = watch.now_bytes()
        with ThreadPoolExecutor(clients) as pool:
            for client in range(clients):
                pool.submit(post, f"{url}/apiv1/separate", client, song_bytes, answers)
        seconds, peak = time.monotonic() - began, watch.end()
        told = ", ".join(f"{answer}: {count}" for answer, count in sorted(answers.items()))
        print(f"{clients} clients, {song_bytes / 1e6:g} MB each: {seconds:.0f} s; {told}")
        print(f"resident memory of the API: {idle / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at its peak")
    finally:
        server.terminate()
        server.wait(timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=200)
    args = parser.parse_args()
    with stores() as (valkey, weed, folder):
        measure(valkey, weed, folder / "scratch", args.clients, args.megabytes * 1_000_000)


if __name__ == "__main__":
    main()
