"""What a well-behaved client notices while others are slow, greedy or silent on purpose: `make bench-abuse`.

    python -m bench.api.abuse [--seconds 15] [--clients N] [--addresses 1] [--only "slow bodies" …] [--against SRC]

Starts a Valkey, an S3 server and, for each attack, an API of its own, with keys. While the attack goes on, /healthz is
asked five times a second, each time by a new connection, and a song is posted. The attackers have a key of their own
where it takes one, and come from other loopback addresses. `--against` measures the API of another source tree as well.

Exit status 1 where /healthz failed once or took a second at the 99th percentile, or the song was not accepted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.api.attackers import ATTACKS, Target, run
from bench.support.stores import stores
from msaas.audio.encode.wav import wav_header
from msaas.auth.keys import new_key
from msaas.local.servers import LOOPBACK, Valkey, Weed, free_port
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_storage

FILES = 16_384
STEM_BYTES = 20_000_000
EVERY_SECONDS, TIMEOUT_SECONDS = 0.2, 15
POST_AFTER_SECONDS = 5
WAITING = str(uuid.uuid5(uuid.NAMESPACE_URL, "waiting"))
DONE = str(uuid.uuid5(uuid.NAMESPACE_URL, "done"))


@dataclass
class Found:
    """Of one attack: seconds that /healthz took, what went wrong with it, and what the post was answered."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    posted: str = "not answered"
    peak_mib: float = 0
    peak_threads: int = 0

    def at(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * share))]

    @property
    def well(self) -> bool:
        return not self.failed and self.at(0.99) < 1 and self.posted.startswith("202")


def main() -> int:
    options = _options()
    _raise_file_limit()
    names = options.only or list(ATTACKS)
    sources = [source for source in (options.against, _own_source()) if source]
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run")
    print("\n| attack | clients | server | /healthz p50 | p99 | failed | a song posted meanwhile | threads | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    well = True
    with stores() as (valkey, weed, folder):
        attack_run = AttackRun(valkey, weed, folder, options)
        attack_run.fill()
        for name in names:
            for source in sources:
                found = attack_run.measure(name, source)
                _print_row(name, options.clients or ATTACKS[name][1], source, found)
                well = well and (found.well or source != _own_source())
    return 0 if well else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15, help="of each attack")
    parser.add_argument("--clients", type=int, help="of each attack, instead of its own number")
    parser.add_argument("--addresses", type=int, default=1, help="that the attackers come from, 250 at most")
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), metavar="ATTACK")
    parser.add_argument("--against", type=Path, help="the src folder of another version, measured first")
    return parser.parse_args()


def _own_source() -> Path:
    return Path(__file__).parents[2] / "src"


def _raise_file_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard) if hard > 0 else FILES, hard))


def _print_row(name: str, clients: int, source: Path, found: Found) -> None:
    server = "now" if source == _own_source() else "before"
    p50, p99 = (f"{found.at(share) * 1000:.0f} ms" for share in (0.5, 0.99))
    failed = f"{found.failed} of {len(found.seconds)}"
    about = f"{found.peak_threads} | {found.peak_mib:.0f} MiB"
    print(f"| {name} | {clients} | {server} | {p50} | {p99} | {failed} | {found.posted} | {about} |", flush=True)


class AttackRun:
    def __init__(self, valkey: Valkey, weed: Weed, folder: Path, options: argparse.Namespace) -> None:
        self.options, self.folder = options, folder
        (self.good_key, good), (self.bad_key, bad) = new_key("anna", ["use"]), new_key("mallory", ["use"])
        self.environ = {
            "REDIS_HOST": valkey.address,
            "MINIO_HOST": weed.address,
            "MINIO_ACCESS_KEY": weed.keys.access,
            "MINIO_SECRET_KEY": weed.keys.secret,
            "MSAAS_SCRATCH_DIR": str(folder / "scratch"),
            "MSAAS_LOG_LEVEL": "error",
            "MSAAS_API_KEYS": f"{good.line},{bad.line}",
        }

    def fill(self) -> None:
        """A job of the attacker's that is done, with a large stem, and one that waits."""
        settings = Settings.from_env(self.environ)
        queue, storage = build_queue(settings), build_storage(settings)
        storage.ensure_buckets()
        fields = {"model": "htdemucs_mini", "options": "{}", "tenant": "mallory"}
        queue.submit(DONE, fields)
        claim = queue.claim("bench")
        assert claim
        stem = self.folder / "stem"
        stem.write_bytes(os.urandom(1_000_000) * (STEM_BYTES // 1_000_000))
        storage.put_stem(f"{DONE}-vocals.mp3", stem)
        queue.finish(claim, {"stems": {"vocals": "mp3"}, "duration_seconds": 1.0, "gain": 1.0}, 1.0)
        queue.submit(WAITING, fields)

    def measure(self, name: str, source: Path) -> Found:
        found, over = Found(), threading.Event()
        with self._api(source) as (api, port):
            target = Target(
                port,
                self.bad_key,
                events=f"/apiv1/jobs/{WAITING}/events",
                track=f"/apiv1/track/{DONE}-vocals",
                addresses=self.options.addresses,
            )
            clients = self.options.clients or ATTACKS[name][1]
            attack = multiprocessing.get_context("spawn").Process(
                target=run, args=(name, clients, self.options.seconds, target), daemon=True
            )
            post = threading.Thread(target=self._post, args=(port, found, over), daemon=True)
            attack.start()
            post.start()
            until = time.monotonic() + self.options.seconds
            while time.monotonic() < until:
                _ask(port, found)
                _look(api, found)
                time.sleep(EVERY_SECONDS)
            over.set()
            post.join(TIMEOUT_SECONDS)
            attack.join(20)
            attack.kill()
        return found

    @contextmanager
    def _api(self, source: Path) -> Iterator[tuple[psutil.Process, int]]:
        port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MSAAS_", "MINIO_"))}
        environ = clean | self.environ | {"MSAAS_PORT": str(port), "PYTHONPATH": str(source)}
        api = subprocess.Popen([sys.executable, "-P", "-m", "msaas.web"], env=environ)
        try:
            _await(port)
            yield psutil.Process(api.pid), port
        finally:
            api.terminate()
            try:
                api.wait(30)
            except subprocess.TimeoutExpired:
                api.kill()

    def _post(self, port: int, found: Found, over: threading.Event) -> None:
        """As a client does: again after a 503, or where the connection broke, until the attack is over."""
        over.wait(min(POST_AFTER_SECONDS, self.options.seconds / 3))
        began, song = time.monotonic(), wav_header(8000, 1, 8000) + os.urandom(16000)
        tries = 0
        while not over.is_set():
            tries += 1
            with suppress(OSError, http.client.HTTPException):
                found.posted = f"{_send(port, song, self.good_key)} in {time.monotonic() - began:.1f} s"
                if tries > 1:
                    found.posted += f", try {tries}"
                if found.posted.startswith("202"):
                    return
            over.wait(1)


def _send(port: int, song: bytes, key: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    try:
        headers = {"Content-Type": "audio/wav", "Authorization": f"Bearer {key}"}
        connection.request("POST", "/apiv1/separate", song, headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status != 202 or said["songhash"]
        return answer.status
    finally:
        connection.close()


def _ask(port: int, found: Found) -> None:
    began = time.monotonic()
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        found.failed += answer.status != 200
    except (OSError, http.client.HTTPException):
        found.failed += 1
    finally:
        connection.close()
        found.seconds.append(time.monotonic() - began)


def _look(api: psutil.Process, found: Found) -> None:
    """The API's process and those that it started."""
    with suppress(psutil.NoSuchProcess):
        family = [api, *api.children(recursive=True)]
        found.peak_mib = max(found.peak_mib, sum(one.memory_info().rss for one in family) / 2**20)
        found.peak_threads = max(found.peak_threads, sum(one.num_threads() for one in family))


def _await(port: int) -> None:
    for _ in range(600):
        alive = Found()
        _ask(port, alive)
        if not alive.failed:
            return
        time.sleep(0.1)
    raise SystemExit("the API does not answer")


if __name__ == "__main__":
    sys.exit(main())
