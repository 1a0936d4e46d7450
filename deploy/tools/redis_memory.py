"""What a done job costs Redis, measured on a Valkey of its own: the figure behind redis' memory limit.

.venv/bin/python deploy/tools/redis_memory.py [JOBS]
"""

import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from msaas.fields import canonical_json
from msaas.local.servers import Valkey, running
from msaas.options import Options
from msaas.queue import Queue, connect

# As the API and a worker write them, of a song of three and a half minutes.
FIELDS = {
    "model": "htdemucs",
    "options": Options("htdemucs").to_json(),
    "tenant": "somebody",
    "upload": canonical_json(
        {
            "bytes": 8_541_321,
            "container": "mp3",
            "codec": "mp3float",
            "sample_rate": 44_100,
            "channels": 2,
            "duration_seconds": 213.4204,
        }
    ),
}
TIMINGS = ("measure", "separate", "model", "encode", "total")
RESULT = {
    "model": {"name": "htdemucs", "sources": ["drums", "bass", "other", "vocals"], "device": "cpu"},
    "stems": dict.fromkeys(("drums", "bass", "other", "vocals"), "mp3"),
    "samples": 9_411_840,
    "sample_rate": 44_100,
    "duration_seconds": 213.4204,
    "gain": None,
    "timings": dict.fromkeys(TIMINGS, 61.23456789),
    "report": {},
}


def main(jobs: int = 3000) -> int:
    with tempfile.TemporaryDirectory() as folder, running(lambda: Valkey(Path(folder))) as server:
        redis: Any = connect(server.address)
        queue = Queue(redis, lease_seconds=30, max_attempts=3)
        done(queue, 1)  # scripts and lists are there from here on
        before = used(redis)
        done(queue, jobs)
        grown = used(redis) - before
        record = redis.memory_usage(next(redis.scan_iter("job:*")), samples=0)
    sys.stdout.write(f"{jobs} jobs: {grown / jobs:.0f} bytes of used_memory each, one record {record} bytes\n")
    return 0


def done(queue: Queue, jobs: int) -> None:
    for _ in range(jobs):
        queue.submit(str(uuid.uuid4()), FIELDS)
        claim = queue.claim("measuring")
        assert claim is not None  # noqa: S101 - tells mypy
        queue.finish(claim, RESULT, 213.4)


def used(redis: Any) -> int:
    return int(redis.info("memory")["used_memory"])


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
