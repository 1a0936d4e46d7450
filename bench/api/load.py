"""How many songs a second the API takes, and what it and the queue need for each. Separates nothing: no worker runs.

    python -m bench.api.load [--seconds 5] [--clients 1 16 64] [--waiting 10000]

A real Valkey (appendfsync always), a real S3 server and the API, as `make serve` has them, started anew
in a temporary folder. Clients are threads of this process with a connection each, kept open. Songs are real MP3s of
five seconds that differ in a tag; downloads are of one finished job, its stems 1 MB each.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.support.stores import stores
from msaas.audio.encode.mp3 import Mp3Writer
from msaas.jobs import songhash
from msaas.local.servers import LOOPBACK, Valkey, Weed, free_port
from msaas.options import Options
from msaas.queue import Queue
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.telemetry.metrics import Metrics
from msaas.web.uploads.spool import Spool
from msaas.wiring.api import build_app
from msaas.wiring.stores import build_queue, build_storage

MODEL = "htdemucs_mini"
STEMS = ("drums", "bass", "other", "vocals")
STEM_BYTES = 1_000_000
START_SECONDS = 60
RATE = 44_100
ALONE_SONGS = 200
ADDRESSES = 8


def main() -> int:
    options = _options()
    with service() as stack:
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run\n")
        rows = [row for clients in options.clients for row in _http_rows(stack, clients, options.seconds)]
        _print_table(rows)
        _print_queue(stack.queue, options.waiting)
        _print_own_time(stack)
        print(f"\nload average {os.getloadavg()[0]:.1f} after the run (clients and servers of this run included)")
    return 1 if any(row.failed for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement over HTTP")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--waiting", type=int, default=10_000, help="songs in the queue while it is measured")
    return parser.parse_args()


# --- the stack


@dataclass
class Stack:
    settings: Settings
    queue: Queue
    storage: Storage
    api: psutil.Process | None = None  # None until the API is up
    folder: Path = field(default_factory=Path)
    filer_port: int = 0  # behind the S3 server

    def peak_mib(self) -> float:
        """The API's largest resident set so far: its process and the one that probes fork from."""
        assert self.api is not None
        return sum(peak_mib(process.pid) for process in (self.api, *self.api.children(recursive=True)))

    def processor_seconds(self) -> dict[str, float]:
        """So far, by process; of the probes' helper with those of its children that are over."""
        assert self.api is not None
        servers = {"valkey-server": "Valkey", "weed": "S3 server"}
        found = {"API": self.api}
        found |= {servers[one.name()]: one for one in psutil.Process().children() if one.name() in servers}
        found |= dict(zip(["probes"], self.api.children(), strict=False))
        return {name: sum(process.cpu_times()[: 4 if name == "probes" else 2]) for name, process in found.items()}


def peak_mib(pid: int) -> float:
    with suppress(OSError):  # a probe that is over
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return 0.0


@contextmanager
def service(*, api: bool = True, more: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Servers of this run's own, emptied and gone at its end. `more` settings than these."""
    with ExitStack() as ends:
        valkey, weed, folder = ends.enter_context(stores())
        environ = _environ(valkey, weed, folder / "scratch") | dict(more or {})
        settings = Settings.from_env(environ)
        queue, storage = build_queue(settings), build_storage(settings)
        stack = Stack(settings, queue, storage, folder=folder, filer_port=weed.ports[2])
        stack.storage.ensure_buckets()
        if api:
            stack.api = ends.enter_context(_api(settings, environ))
        yield stack


def _environ(valkey: Valkey, weed: Weed, scratch: Path) -> dict[str, str]:
    return {
        "REDIS_HOST": valkey.address,
        "MINIO_HOST": weed.address,
        "MINIO_ACCESS_KEY": weed.keys.access,
        "MINIO_SECRET_KEY": weed.keys.secret,
        "MSAAS_PORT": str(free_port()),
        "MSAAS_MODEL": MODEL,
        "MSAAS_SCRATCH_DIR": str(scratch),
        "MSAAS_LOG_LEVEL": "warning",
    }


@contextmanager
def _api(settings: Settings, environ: dict[str, str]) -> Iterator[psutil.Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MSAAS_", "MINIO_"))}
    process = subprocess.Popen([sys.executable, "-P", "-m", "msaas.web"], env=clean | environ)
    try:
        give_up_at = time.monotonic() + START_SECONDS
        while not _answers(settings):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit("the API did not come up")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _answers(settings: Settings) -> bool:
    try:
        return Client(settings).ask("GET", "/readyz")[0] == 200
    except OSError:
        return False


# --- songs


class Songs:
    """Real MP3s, each another song: the same five seconds of sound behind a tag that counts."""

    def __init__(self, folder: Path) -> None:
        path = folder / "song.mp3"
        tone = 0.3 * np.sin(np.arange(5 * RATE) * 2 * np.pi * 220 / RATE)
        with Mp3Writer(path, sample_rate=RATE, channels=2, total_samples=tone.size, bitrate_kbps=128) as writer:
            writer.write(np.stack([tone, tone]).astype(np.float32))
        self._sound, self._numbers = path.read_bytes(), count()
        self._run = uuid.uuid4().hex

    def next(self) -> bytes:
        text = f"\x00{self._run}{next(self._numbers):010d}".encode()
        frame = b"TIT2" + len(text).to_bytes(4, "big") + b"\0\0" + text
        return b"ID3\x03\0\0" + bytes([0, 0, 0, len(frame)]) + frame + self._sound  # 53 bytes: one 7-bit digit


def a_done_job(stack: Stack, song: bytes) -> str:
    """As a worker leaves it: song, stems and record."""
    options = Options.parse({}, default_model=MODEL, allowed=[MODEL])
    name = songhash(hashlib.sha256(song).hexdigest(), options)
    path = stack.folder / "object"
    path.write_bytes(song)
    stack.storage.put_input(name, path)
    path.write_bytes(os.urandom(STEM_BYTES))
    for stem in STEMS:
        stack.storage.put_stem(f"{name}-{stem}.mp3", path)
    stack.queue.submit(name, {"model": MODEL, "options": options.to_json()})
    claim = stack.queue.claim("bench")
    assert claim is not None and stack.queue.finish(claim, {"stems": dict.fromkeys(STEMS, "mp3")}, 5)
    return name


# --- over HTTP


class Client:
    """One connection, kept open. Client `number` is one of ADDRESSES callers: each has a share of the service."""

    def __init__(self, settings: Settings, number: int = 0) -> None:
        own = (f"127.0.0.{1 + number % ADDRESSES}", 0)
        self.connection = http.client.HTTPConnection(LOOPBACK, settings.port, timeout=60, source_address=own)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "audio/mpeg"} if body else {}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


@dataclass
class Row:
    what: str
    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    peak_mib: float
    processor_ms: dict[str, float]  # a call, by process


def _http_rows(stack: Stack, clients: int, seconds: float) -> Iterator[Row]:
    songs = Songs(stack.folder)
    done = a_done_job(stack, songs.next())
    asked: dict[str, Callable[[Client], int]] = {
        "post a song": lambda client: client.ask("POST", "/apiv1/separate", songs.next())[0],
        "job status": lambda client: client.ask("GET", f"/apiv1/jobs/{done}")[0],
        "download 1 MB": lambda client: client.ask("GET", f"/apiv1/track/{done}-vocals")[0],
    }
    for what, ask in asked.items():
        before = stack.processor_seconds()
        times, failed, took = _hammer(stack.settings, ask, clients, seconds)
        spent = {name: now - before.get(name, 0) for name, now in stack.processor_seconds().items()}
        p50, p99 = np.percentile(times, [50, 99]) * 1000
        each_ms = {name: seconds / len(times) * 1000 for name, seconds in spent.items()}
        yield Row(what, clients, len(times) / took, p50, p99, failed, stack.peak_mib(), each_ms)
    stack.queue.redis.flushall()  # a song whose record remains would be queued again


def _hammer(settings: Settings, ask: Callable[[Client], int], clients: int, seconds: float) -> tuple[Any, int, float]:
    """Seconds of each answer, how many were no 2xx, and how long it all took."""
    times: list[float] = []
    failed: list[object] = []
    began = time.monotonic()

    def work(number: int) -> None:
        client = Client(settings, number)
        while time.monotonic() < began + seconds:
            start = time.monotonic()
            try:
                status = ask(client)
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)
                client = Client(settings, number)
                continue
            (times if 200 <= status < 300 else failed).append(time.monotonic() - start)  # type: ignore[attr-defined]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times or [float("nan")], len(failed), time.monotonic() - began


def _print_table(rows: list[Row]) -> None:
    head = ("what", "clients", "a second", "p50", "p99", "failed", "API's peak memory", "processor time a call")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        each = ", ".join(f"{name} {ms:.1f}" for name, ms in row.processor_ms.items() if ms >= 0.05)
        print(
            f"| {row.what} | {row.clients} | {row.per_second:.0f} | {row.p50_ms:.0f} ms | {row.p99_ms:.0f} ms"
            f" | {row.failed} | {row.peak_mib:.0f} MiB | {each} ms |"
        )


# --- the queue alone


def _print_queue(queue: Queue, waiting: int) -> None:
    """One client, one move after the other: each is a script and an fsync."""
    moves = 1000
    fill = _rate(lambda: queue.submit(str(uuid.uuid4()), {"model": MODEL, "options": "{}"}), waiting)
    submit = _rate(lambda: queue.submit(str(uuid.uuid4()), {"model": MODEL, "options": "{}"}), moves)
    print(f"\nqueue: {fill:.0f} submits/s up to {waiting} waiting, {submit:.0f}/s beyond")
    claims: list[Any] = []
    claim = _rate(lambda: claims.append(queue.claim("bench")), moves)
    finish = _rate(lambda: queue.finish(claims.pop(), {"stems": dict.fromkeys(STEMS, "mp3")}, 5), moves)
    print(f"queue: {claim:.0f} claims/s with {waiting} waiting; {finish:.0f} finishes/s, {moves} in work at first")

    def whole() -> None:
        claim = queue.claim("bench")
        assert claim is not None and queue.finish(claim, {"stems": {}}, 5)

    print(f"queue: {_rate(whole, moves):.0f} claim-and-finish/s, as one idle worker would make them")
    queue.redis.flushall()  # or the API would find the queue full


def _rate(step: Callable[[], object], times: int) -> float:
    began = time.monotonic()
    for _ in range(times):
        step()
    return times / (time.monotonic() - began)


# --- one song, by what takes its time


class Timed:
    """A part of the API whose calls are timed, each under its name."""

    def __init__(self, inner: Any, spent: dict[str, float], names: dict[str, str]) -> None:
        self._inner, self._spent, self._names = inner, spent, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self.timed(self._names[name], found) if name in self._names else found

    def timed(self, what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                self._spent[what] = self._spent.get(what, 0) + time.monotonic() - began

        return run


def _print_own_time(stack: Stack) -> None:
    """The API in this process, one song after the other: wall time of its parts, and processor time of it all."""
    spent: dict[str, float] = {}
    queue = Timed(
        build_queue(stack.settings, observer=Metrics()), spent, {"get": "Redis, look-up", "submit": "Redis, script"}
    )
    storage = Timed(stack.storage, spent, {"put_input": "S3, put"})
    app = build_app(stack.settings, queue=queue, storage=storage)  # type: ignore[arg-type]
    parts = app.extensions["msaas"]
    parts.probe = Timed(None, spent, {}).timed("probe, in a process of its own", parts.probe)
    client, songs = app.test_client(), Songs(stack.folder)
    client.post("/apiv1/separate", data=songs.next(), content_type="audio/mpeg")  # starts the helper
    spent.clear()
    bodies = [songs.next() for _ in range(ALONE_SONGS)]
    began, processor = time.monotonic(), time.process_time()
    for body in bodies:
        assert client.post("/apiv1/separate", data=body, content_type="audio/mpeg").status_code == 202
    whole, own = time.monotonic() - began, time.process_time() - processor
    began = time.monotonic()
    for body in bodies:
        _spool(stack.settings, body)
    spent["spool and hash"] = time.monotonic() - began
    spent["the rest: Flask, options, links"] = whole - sum(spent.values())
    print(f"\n| one song of {len(bodies[0]) // 1000} kB alone | ms |\n|---|---|")
    for what, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        print(f"| {what} | {seconds / ALONE_SONGS * 1000:.2f} |")
    print(f"| all of it | {whole / ALONE_SONGS * 1000:.2f} |")
    print(f"| of this, processor time of the API's process | {own / ALONE_SONGS * 1000:.2f} |")


def _spool(settings: Settings, body: bytes) -> str:
    with Spool(settings.scratch_dir, settings.max_upload_bytes) as spool:
        spool.write(body)
        spool.seek(0)
        return spool.sha256


if __name__ == "__main__":
    sys.exit(main())
