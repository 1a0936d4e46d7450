"""What one greedy caller can do to another: how the other is served beside it, and what the greedy one gets.

    python -m bench.api.neighbours [--only callbacks probes ...]

A real Valkey, a real S3 server and the API, started anew for each row, with a key for `greedy` and one for `modest`.
No worker runs: where a job has to end, it is cancelled, or ended by this process in a worker's place.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import struct
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np

from bench.api.load import Songs, Stack, service
from msaas.auth.keys import new_key
from msaas.callbacks.outbox import CallbackRequest
from msaas.errors import QuotaExceeded
from msaas.local.servers import LOOPBACK
from msaas.outbound.targets import Target
from msaas.queue import Admission
from tests.support.audio.hostile_files import m4a_of_edits

GREEDY, MODEST = "greedy", "modest"
HANGING_RECEIVERS = 160
LONGEST_WAIT_SECONDS = 90.0
REPOSTS, DATA_BYTES = 4000, 16_000
PROBING_CLIENTS, EDITS = 40, 2_000_000
LYING_SONGS, SONG_SECONDS, AUDIO_LIMIT_MINUTES = 40, 60, 10
STREAMS, CONNECTIONS = 24, 128  # places for 16 streams
GREEDY_SONGS, MODEST_SONGS = 200, 5


def main() -> int:
    rows: dict[str, Callable[[], Iterator[str]]] = {
        "callbacks": _callbacks,
        "reposts": _reposts,
        "probes": _probes,
        "audio": _audio,
        "streams": _streams,
        "queue": _queue,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=rows, default=list(rows))
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run\n")
    print("| a greedy caller … | measured |\n|---|---|", flush=True)
    for name in parser.parse_args().only:
        for line in rows[name]():
            print(line, flush=True)
    return 0


# --- two callers


class Callers:
    """The stack, and a key for each of the two."""

    def __init__(self, stack: Stack, texts: dict[str, str]) -> None:
        self.stack, self.texts, self.songs = stack, texts, Songs(stack.folder)

    def ask(
        self, who: str, method: str, path: str, body: bytes | None = None, kind: str = "audio/mpeg"
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(LOOPBACK, self.stack.settings.port, timeout=120)
        try:
            connection.request(method, path, body, self.headers(who) | ({"Content-Type": kind} if body else {}))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else {}
        finally:
            connection.close()

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.texts[who]}"}

    def post(self, who: str, callback: str = "", song: bytes | None = None) -> tuple[int, dict[str, Any]]:
        query = f"?callback=%7B%22url%22%3A%22{callback}%22%7D" if callback else ""
        return self.ask(who, "POST", f"/apiv1/separate{query}", song or self.songs.next())

    def end(self, who: str, songhash: str) -> None:
        status, _ = self.ask(who, "DELETE", f"/apiv1/jobs/{songhash}")
        assert status == 200, status


@contextmanager
def _callers(**settings: str) -> Iterator[Callers]:
    keys = {who: new_key(who, ["use"]) for who in (GREEDY, MODEST)}
    lines = ",".join(key.line for _, key in keys.values())
    shared = {"MSAAS_API_KEYS": lines, "MSAAS_CALLBACK_ALLOW": "127.0.0.0/8", "MSAAS_LOG_LEVEL": "error"}
    with service(more=shared | settings) as stack:
        yield Callers(stack, {who: text for who, (text, _) in keys.items()})


# --- callbacks


def _callbacks() -> Iterator[str]:
    with _callers() as callers, _quick_receiver() as (port, heard), _hanging_receivers(HANGING_RECEIVERS) as hanging:
        alone = _delivery_seconds(callers, port, heard)
        song = callers.songs.next()
        for url in hanging:
            status, answer = callers.post(GREEDY, url, song)
            assert status in (200, 202), answer
        callers.end(GREEDY, answer["songhash"])
        time.sleep(1)  # the greedy one's are on their way
        beside = [_delivery_seconds(callers, port, heard) for _ in range(3)]
    told = ", ".join("none in 90" if one is None else f"{one:.1f}" for one in beside)
    yield f"| has {HANGING_RECEIVERS} receivers that hang | another's callback: {told} s (alone {alone:.1f} s) |"


def _delivery_seconds(callers: Callers, port: int, heard: threading.Event) -> float | None:
    heard.clear()
    _, answer = callers.post(MODEST, f"http://127.0.0.1:{port}/")
    callers.end(MODEST, answer["songhash"])
    began = time.monotonic()
    return time.monotonic() - began if heard.wait(LONGEST_WAIT_SECONDS) else None


@contextmanager
def _quick_receiver() -> Iterator[tuple[int, threading.Event]]:
    heard = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            heard.set()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, heard
    server.shutdown()
    server.server_close()


@contextmanager
def _hanging_receivers(count: int) -> Iterator[list[str]]:
    """They take the connection and never answer."""
    with ExitStack() as ends:
        listeners = [ends.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        yield [f"http://127.0.0.1:{one.getsockname()[1]}/" for one in listeners]


def _reposts() -> Iterator[str]:
    """Straight to the queue's script, as the API calls it for a song that is done."""
    with _callers() as callers:
        queue = callers.stack.queue
        name = str(uuid.uuid4())
        queue.submit(name, {"tenant": GREEDY})
        claim = queue.claim("bench")
        assert claim is not None and queue.finish(claim, {"stems": {}}, 1)
        before = int(queue.redis.info("memory")["used_memory"])
        outcomes = Counter(_repost(callers, name, number) for number in range(REPOSTS))
        grown = int(queue.redis.info("memory")["used_memory"]) - before
    yield (
        f"| posts a song that is done {REPOSTS} times, each with a callback of {DATA_BYTES // 1000} KB "
        f"| Redis grows by {grown / 1e6:.1f} MB, {grown / REPOSTS / 1000:.1f} KB a post; {dict(outcomes)} |"
    )


def _repost(callers: Callers, songhash: str, number: int) -> str:
    url = f"http://{LOOPBACK}:9/{number}"
    posting = CallbackRequest.new(Target.parse(url), url, "x" * DATA_BYTES)
    try:
        terms = Admission(account=f"key {GREEDY}")
        callers.stack.queue.submit(songhash, {"tenant": GREEDY}, callback=posting.args, admission=terms)
        return "taken"
    except QuotaExceeded as error:
        return error.code


# --- probes


def _probes() -> Iterator[str]:
    with _callers() as callers, ThreadPoolExecutor(PROBING_CLIENTS) as crowd:
        song = m4a_of_edits(EDITS)
        alone = _seconds(lambda: callers.post(MODEST))
        codes: Counter[object] = Counter()

        def attack(number: int) -> None:
            data = song + struct.pack(">I4sI", 12, b"free", number)
            status, answer = callers.ask(GREEDY, "POST", "/apiv1/separate", data, "audio/mp4")
            codes[answer.get("code", status)] += 1

        running = [crowd.submit(attack, number) for number in range(PROBING_CLIENTS)]
        time.sleep(2)  # they are being looked at
        health: list[float] = []
        over = threading.Event()
        watching = threading.Thread(target=_watch_health, args=(callers, health, over))
        watching.start()
        beside = [_seconds(lambda: callers.post(MODEST)) for _ in range(3)]
        over.set()
        watching.join()
        for one in running:
            one.result()
    posts = ", ".join(f"{one:.1f}" for one in beside)
    yield (
        f"| has {PROBING_CLIENTS} clients post M4A files of {len(song) // 1_000_000} MB of edits | "
        f"another's posts: {posts} s (alone {alone:.2f} s), /healthz at most {max(health):.1f} s; {dict(codes)} |"
    )


def _watch_health(callers: Callers, seconds: list[float], over: threading.Event) -> None:
    while not over.is_set() or not seconds:
        seconds.append(_seconds(lambda: callers.ask(MODEST, "GET", "/healthz")))
        time.sleep(0.1)


def _seconds(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began


# --- audio


def _audio() -> Iterator[str]:
    """Songs are separated as soon as they are accepted, and turn out to be a minute long."""
    with _callers(MSAAS_DAILY_AUDIO_MINUTES=str(AUDIO_LIMIT_MINUTES)) as callers:
        for ending in ("done", "cancelled"):
            codes = Counter(_lying_song(callers, ending, number) for number in range(LYING_SONGS))
            callers.stack.queue.redis.flushall()
            yield (
                f"| posts {LYING_SONGS} songs of a minute that say 0.7 s, limit {AUDIO_LIMIT_MINUTES} minutes; "
                f"each is {ending} after its minute | let in: {codes['taken']}; {dict(codes)} |"
            )
        waiting = Counter(_lying_song(callers, "", number) for number in range(LYING_SONGS))
    yield f"| the same, with no worker that ends them | let in: {waiting['taken']}; {dict(waiting)} |"


def _lying_song(callers: Callers, ending: str, number: int) -> str:
    queue = callers.stack.queue
    status, answer = callers.ask(GREEDY, "POST", "/apiv1/separate", lying_song(callers.stack.folder, number))
    if status != 202:
        return str(answer["code"])
    claim = queue.claim("bench") if ending else None
    if claim is None:
        return "taken"
    started_ms = int(queue.redis.hget(f"job:{claim.songhash}", "started_ms"))
    queue.redis.hset(f"job:{claim.songhash}", "started_ms", started_ms - SONG_SECONDS * 1000)  # its run took a minute
    if ending == "done":
        queue.finish(claim, {"stems": {}, "duration_seconds": float(SONG_SECONDS)}, SONG_SECONDS)
    else:
        queue.cancel(claim.songhash)
    return "taken"


def lying_song(folder: Path, number: int) -> bytes:
    """An MP3 of a minute whose Xing header says 0.7 s: the number of frames is in its bytes 8 to 11."""
    path = folder / "minute.mp3"
    if not path.exists():
        with av.open(str(path), "w", format="mp3") as container:
            stream = container.add_stream("libmp3lame", rate=44_100)
            stream.bit_rate = 64_000
            for at in range(0, SONG_SECONDS * 44_100, 44_100):
                tone = 0.3 * np.sin(np.arange(at, at + 44_100) * 0.05)
                frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), format="fltp")
                frame.sample_rate, frame.pts = 44_100, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    song = bytearray(path.read_bytes())
    at = max(song.find(b"Xing"), song.find(b"Info"))
    struct.pack_into(">I", song, at + 8, 27)
    return bytes(song) + struct.pack(">I", number)


# --- event streams


def _streams() -> Iterator[str]:
    with _callers(MSAAS_MAX_CONNECTIONS=str(CONNECTIONS)) as callers, ExitStack() as ends:
        own = {who: callers.post(who)[1]["songhash"] for who in (GREEDY, MODEST)}
        got = Counter(_stream(callers, ends, GREEDY, own[GREEDY]) for _ in range(STREAMS))
        time.sleep(1)
        modest = [_stream(callers, ends, MODEST, own[MODEST]) for _ in range(3)]
    yield f"| opens {STREAMS} event streams: {dict(got)} | another's three: {modest} |"


def _stream(callers: Callers, ends: ExitStack, who: str, songhash: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, callers.stack.settings.port, timeout=60)
    ends.callback(connection.close)
    connection.request("GET", f"/apiv1/jobs/{songhash}/events", headers=callers.headers(who))
    return connection.getresponse().status


# --- the queue


def _queue() -> Iterator[str]:
    with _callers() as callers:
        for _ in range(GREEDY_SONGS):
            status, _answer = callers.post(GREEDY)
            assert status == 202
        own = [callers.post(MODEST)[1]["songhash"] for _ in range(MODEST_SONGS)]
        places = [callers.stack.queue.position(songhash) for songhash in own]
    yield f"| posts {GREEDY_SONGS} songs | songs ahead of another's {MODEST_SONGS} posted then: {places} |"


if __name__ == "__main__":
    sys.exit(main())
