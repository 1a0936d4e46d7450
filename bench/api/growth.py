"""What a service that has done very many songs costs: memory in Redis, and the time of each call that could grow.

    python -m bench.api.growth [--jobs 100000] [--stored 5000]

A real Valkey and a real S3 server, the API and the sweep in this process. The records are what the queue's scripts and
a worker leave, copied under other names; what is stored are empty objects, a song, four stems and a drawing each.
Everything is measured at a hundredth, a tenth and the whole, so that the table shows how it grows: in milliseconds of
processor time, of this process + of Valkey, where every other caller waits meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from bench.api.load import MODEL, STEMS, Stack, peak_mib, service
from msaas.jobs import record_json
from msaas.local.servers import LOOPBACK
from msaas.maintenance.housekeeping import SWEEP_LOCK, Housekeeper
from msaas.options import Options
from msaas.queue import DEAD, WAITING
from msaas.storage import INPUTS, OUTPUTS, WAVEFORMS
from msaas.wiring.api import build_app

TRIES = 7
BATCH = 1000
RETIRED = 100
DAY_SECONDS = 24 * 3600
# as msaas.web.routes.separate and msaas.worker.child write them
UPLOAD = {"bytes": 8_123_456, "container": "mp3", "codec": "mp3float", "sample_rate": 44100, "channels": 2}
TIMINGS = {"measure": 1.234, "separate": 98.765, "model": 88.888, "encode": 7.654, "total": 101.234}
RESULT = {
    "stems": dict.fromkeys(STEMS, "mp3"),
    "duration_seconds": 203.456,
    "gain": 1.0,
    "timings": TIMINGS,
    "model": {"name": "htdemucs", "sources": list(STEMS), "sample_rate": 44100, "channels": 2, "segment_seconds": 7.8},
}

Table = dict[str, list[str]]


def main() -> int:
    options = _options()
    with service(api=False) as stack:
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run\n")
        for grow, whole in ((_waiting, options.jobs), (_ended, options.jobs), (_stored, options.stored)):
            sizes = [max(whole // part, 1) for part in (100, 10, 1)]
            _print(grow(stack, sizes), sizes)
            stack.queue.redis.execute_command("FLUSHALL", "SYNC")  # or its memory is given back later
        print(f"load average {os.getloadavg()[0]:.1f} after the run")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000, help="that wait; then that have ended")
    parser.add_argument("--stored", type=int, default=5000, help="songs in the store, six objects each")
    return parser.parse_args()


def _print(table: Table, sizes: list[int]) -> None:
    title, *rows = table.items()
    print(f"| {title[0]} | {' | '.join(f'{size:,}' for size in sizes)} |\n|{'---|' * (len(sizes) + 1)}")
    for what, cells in rows:
        print(f"| {what} | {' | '.join(cells)} |")
    print()


def _measured(stack: Stack, table: Table, steps: Mapping[str, Callable[[], object]]) -> None:
    for what, step in steps.items():
        step()  # scripts are loaded, connections made
        table.setdefault(what, []).append(_processor_ms(stack, step, TRIES))


def _processor_ms(stack: Stack, step: Callable[[], object], tries: int = 1) -> str:
    """Processor time, which other work on the machine does not lengthen: this process' + Valkey's."""
    own, redis = time.process_time(), _redis_seconds(stack)
    idle = _redis_seconds(stack) - redis  # what asking costs
    for _ in range(tries):
        step()
    own, redis = time.process_time() - own, _redis_seconds(stack) - redis - 2 * idle
    return f"{own / tries * 1000:.1f} + {max(redis, 0) / tries * 1000:.2f}"


def _redis_seconds(stack: Stack) -> float:
    used = stack.queue.redis.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


# --- records


def _a_record(stack: Stack, *, ended: bool) -> dict[str, str]:
    """Of a real job, by the real scripts."""
    queue, name = stack.queue, str(uuid.uuid4())
    options = Options.parse({}, default_model=MODEL, allowed=[MODEL]).to_json()
    queue.submit(
        name, {"model": MODEL, "options": options, "upload": record_json(UPLOAD | {"duration_seconds": 203.5})}
    )
    if ended:
        claim = queue.claim("worker-7d9f8b6c5d-x2x4z-12-a1b2c3")
        assert claim is not None
        queue.renew(claim, {"stage": "storing", "progress": "1"})
        queue.finish(claim, RESULT, 203.456)
    record: dict[str, str] = queue.redis.hgetall(f"job:{name}")
    queue.redis.delete(f"job:{name}", WAITING)
    return record


def _copy(stack: Stack, record: dict[str, str], names: Iterator[str], lists: tuple[str, ...] = ()) -> None:
    while batch := list(islice(names, BATCH)):
        with stack.queue.redis.pipeline(transaction=False) as pipe:
            for name in batch:
                pipe.hset(f"job:{name}", mapping=record)
            for key in lists:
                pipe.rpush(key, *batch)
            pipe.execute()


def _names(first: int, last: int) -> Iterator[str]:
    """Spread over all of the space, as real ones are; the same at each run."""
    return (_name(number) for number in range(first, last))


def _name(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def _used_bytes(stack: Stack) -> int:
    return int(stack.queue.redis.info("memory")["used_memory"])


def _client(stack: Stack) -> Any:
    return build_app(stack.settings, queue=stack.queue, storage=stack.storage).test_client()


def _get(client: Any, path: str, status: int = 200) -> Callable[[], None]:
    def get() -> None:
        answer = client.get(path)
        assert answer.status_code == status, answer.data

    return get


# --- many that wait


def _waiting(stack: Stack, sizes: list[int]) -> Table:
    table: Table = {"songs that wait": []}
    record, client, queue = _a_record(stack, ended=False), _client(stack), stack.queue
    empty, there = _used_bytes(stack), 0
    for size in sizes:
        _copy(stack, record, _names(there, size), (WAITING,))
        there = size
        table.setdefault("Redis' memory a job", []).append(f"{(_used_bytes(stack) - empty) / size:.0f} bytes")
        _measured(
            stack,
            table,
            {
                "post's script, a new song": lambda: queue.submit(str(uuid.uuid4()), {"model": MODEL, "options": "{}"}),
                "claim and finish": lambda: queue.finish(queue.claim("w"), RESULT, 203),  # type: ignore[arg-type]
                "reap": queue.reap,
                "status of the last in the queue": _get(client, f"/apiv1/jobs/{_name(size - 1)}"),
                "status of an unknown job": _get(client, f"/apiv1/jobs/{uuid.uuid4()}", 404),
                "position of the last, by itself": lambda size=size: queue.position(_name(size - 1)),  # type: ignore[misc]
                "`/apiv1/queue`, first page": _get(client, "/apiv1/queue"),
                "`/apiv1/queue`, last page": _get(client, f"/apiv1/queue?offset={max(size - 1000, 0)}"),
                "`/metrics`": _get(client, "/metrics"),
            },
        )
        # the middle one, and each time another
        middle = iter(range(size // 2, size))
        _measured(stack, table, {"cancel one in the middle": lambda: queue.cancel(_name(next(middle)))})  # noqa: B023
    return table


# --- many that have ended


def _ended(stack: Stack, sizes: list[int]) -> Table:
    table: Table = {"jobs that have ended": []}
    record, client, queue = _a_record(stack, ended=True), _client(stack), stack.queue
    record["finished_ms"] = str(int(record["finished_ms"]) - 8 * DAY_SECONDS * 1000)
    empty, there = _used_bytes(stack), 0
    for size in sizes:
        _copy(stack, record, _names(there, size), (DEAD,))
        there = size
        table.setdefault("Redis' memory a job, its entry among the dead", []).append(
            f"{(_used_bytes(stack) - empty) / size:.0f} bytes"
        )
        _measured(
            stack,
            table,
            {
                "status of a job that is done": _get(client, f"/apiv1/jobs/{_name(size // 2)}"),
                "`/apiv1/queue` with so many dead": _get(client, "/apiv1/queue"),
                "post's script, a new song": lambda: queue.submit(str(uuid.uuid4()), {"model": MODEL, "options": "{}"}),
            },
        )
        found: list[str] = []
        looked = _processor_ms(stack, lambda: found.extend(queue.ended_before(7 * DAY_SECONDS)))  # noqa: B023
        assert len(found) == size, (len(found), size)
        table.setdefault("finding those that have aged out", []).append(looked)
    return table


# --- much that is stored


def _stored(stack: Stack, sizes: list[int]) -> Table:
    table: Table = {"songs stored": []}
    record, client, there = _a_record(stack, ended=True), _client(stack), 0
    record["finished_ms"] = str(int(record["finished_ms"]) - 6 * DAY_SECONDS * 1000)
    for size in sizes:
        _store(stack, _names(there, size))
        _copy(stack, record, _names(there, size))
        there = size
        _measured(
            stack,
            table,
            {
                "`/apiv1/bucket`": _get(client, "/apiv1/bucket"),
                "`/apiv1/bucket?after=8`": _get(client, "/apiv1/bucket?after=8"),
            },
        )
        before = peak_mib(os.getpid())
        swept: list[str] = []
        spent = _processor_ms(stack, lambda: swept.extend(_sweep(stack)))  # noqa: B023
        assert not swept, swept
        table.setdefault("a sweep that finds nothing", []).append(spent)
        table.setdefault("… memory beyond what this process had", []).append(
            f"{peak_mib(os.getpid()) - before:.0f} MiB"
        )
    old_ms = str(int(record["finished_ms"]) - 2 * DAY_SECONDS * 1000)
    for name in _names(0, RETIRED):
        stack.queue.redis.hset(f"job:{name}", "finished_ms", old_ms)
    gone: list[str] = []
    spent = _processor_ms(stack, lambda: gone.extend(_sweep(stack)))
    assert len(gone) == 6 * RETIRED, len(gone)
    table[f"a sweep in which {RETIRED} jobs age out"] = ["", "", spent]
    return table


def _store(stack: Stack, names: Iterator[str]) -> None:
    """Through the filer behind the S3 gateway: a listing's entries alone, quicker by ten than by S3."""
    filer = http.client.HTTPConnection(LOOPBACK, stack.filer_port, timeout=60)
    for name in names:
        objects = [(INPUTS, f"{name}.mp3"), (WAVEFORMS, f"{name}.json")]
        for bucket, key in objects + [(OUTPUTS, f"{name}-{stem}.mp3") for stem in STEMS]:
            filer.request("PUT", f"/buckets/{bucket}/{key}", b"")
            answer = filer.getresponse()
            answer.read()
            assert answer.status == 201, answer.status


def _sweep(stack: Stack) -> list[str]:
    stack.queue.redis.delete(SWEEP_LOCK)
    return Housekeeper(stack.queue, stack.storage, retention_seconds=7 * DAY_SECONDS).sweep()


if __name__ == "__main__":
    sys.exit(main())
