"""`python -m tests.chaos.mutants`: takes one guard away at a time and names the row that goes red. None may survive.

A mutant is edited into a copy of src/ that comes first on PYTHONPATH; the rows it should fail run in their short form.
What no row can see, such as the order in which songs are served, is checked by a test file, named instead of a row.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.lab.lab import ROOT

LUA = "queue/lua/jobs"
QUEUE = "queue/queue.py"
CONNECTION = "redis_client.py"
SUPERVISOR = "worker/supervisor.py"
RUN = "worker/run.py"
TURNS = "tests/queue/test_turns.py"
TWO_SONGS = "tests/worker/in_flight/test_two_songs.py"
UPLOADS = "queue/lua/uploads"
UPLOAD_LIMITS = "tests/uploads/test_limits.py"


@dataclass(frozen=True)
class Mutant:
    """`edits` are (file below src/msaas, old text, new text); `rows`, or files of tests, should catch it, tried in this
    order."""

    name: str
    edits: Sequence[tuple[str, str, str]]
    rows: str


MUTANTS = (
    Mutant("lease not looked at when reaping", [(f"{LUA}/reap.lua", "'-inf', ms_text(now),", "'-inf', '+inf',")], "10"),
    Mutant("fence not compared", [(f"{LUA}/common.lua", " and record[2] == fence", "")], "4"),
    Mutant(
        "attempts not limited",
        [
            (f"{LUA}/fail.lua", "if may_retry and count_of(", "if may_retry and 0 * count_of("),
            (f"{LUA}/claim.lua", "if attempts < limit then", "if true then"),
        ],
        "8",
    ),
    Mutant(
        "attempts limited only at the claim",
        [(f"{LUA}/fail.lua", "if may_retry and count_of(", "if may_retry and 0 * count_of(")],
        "8",
    ),
    Mutant(
        "submit in two steps",
        [
            (
                QUEUE,
                'return self._submitted(song, self._moves.run("submit", *song.args, replicas=self.replicas))',
                "self.redis.rpush(self._waiting, songhash)\n"
                '        self.redis.hset(f"job:{songhash}", mapping={"state": "queued", "created_ms": "0", **fields})\n'
                '        return self._submitted(song, ("queued", "queued"))',
            )
        ],
        "12,1",
    ),
    Mutant(
        "claim without an entry in processing",
        [(f"{LUA}/claim.lua", "redis.call('RPUSH', processing, songhash)", "")],
        "8,1",
    ),
    Mutant(
        "claim without a lease",
        [(f"{LUA}/claim.lua", "redis.call('ZADD', leases, ms_text(now + lease_ms), songhash)", "")],
        "8,1",
    ),
    Mutant(
        "claim in two steps",
        [
            (
                f"{LUA}/claim.lua",
                "  take_out(entry)\n  redis.call('RPUSH', pro",
                "  redis.call('RPUSH', pro",
            ),
            (
                QUEUE,
                "        songhash, fence, *pairs = answer\n",
                "        songhash, fence, *pairs = answer\n        self.redis.lrem(self._waiting, 1, songhash)\n",
            ),
        ],
        "8,1",
    ),
    Mutant(
        "finish in two steps",
        [
            (
                QUEUE,
                '        accepted = bool(self._moves.run("finish",',
                "        self.redis.zrem('toWorkers:leases', claim.songhash)\n"
                "        self.redis.lrem(self._processing, 0, claim.songhash)\n"
                '        accepted = bool(self._moves.run("finish",',
            )
        ],
        "2",
    ),
    Mutant(
        "fail in two steps",
        [
            (
                QUEUE,
                '        outcome = str(self._moves.run("fail",',
                "        self.redis.zrem('toWorkers:leases', claim.songhash)\n"
                "        self.redis.lrem(self._processing, 0, claim.songhash)\n"
                '        outcome = str(self._moves.run("fail",',
            )
        ],
        "8,2",
    ),
    Mutant(
        "reap in two steps",
        [
            (
                f"{LUA}/reap.lua",
                "< limit then\n    requeue(songhash, 'LPUSH')",
                "< limit then\n    leave_work(songhash)",
            ),
            (
                QUEUE,
                "        outcomes = dict(zip(answer[::2], answer[1::2], strict=True))\n",
                "        for songhash, outcome in zip(answer[::2], answer[1::2], strict=True):\n"
                '            if outcome == "queued":\n'
                '                self.redis.hset(f"job:{songhash}", "state", "queued")\n'
                "                self.redis.lpush(self._waiting, songhash)\n"
                "        outcomes = dict(zip(answer[::2], answer[1::2], strict=True))\n",
            ),
        ],
        "3",
    ),
    Mutant("nothing is reaped", [(f"{LUA}/reap.lua", "'LIMIT', 0, 100", "'LIMIT', 0, 0")], "3"),
    Mutant(
        "release charged",
        [(f"{LUA}/release.lua", "math.max(attempts - 1, 0)", "attempts")],
        "9",
    ),
    Mutant("release to the tail", [(f"{LUA}/release.lua", "'LPUSH'", "'RPUSH'")], "9"),
    Mutant(
        "cancel not noticed",
        [("queue/heartbeat.py", 'if answer != "kept":', 'if answer not in ("kept", "cancelled"):')],
        "14",
    ),
    Mutant(
        "stems of a job cancelled at the end are kept",
        [
            (
                RUN,
                "            self._tidy_up()  # cancelled at the last",
                "            pass  # cancelled at the last",
            )
        ],
        "14",
    ),
    Mutant(
        "a lease is never renewed",
        [("queue/heartbeat.py", "if self.lost or self._stopped.wait(self.every_seconds):", "if True:")],
        "10",
    ),
    Mutant(
        "a known song is queued again",
        [(f"{LUA}/submit.lua", "if (state == 'queued' and waits) or", "if false or")],
        "12",
    ),
    Mutant(
        "one stem is not stored",
        [
            (
                RUN,
                'for stem, path in done["stems"].items():',
                'for stem, path in list(done["stems"].items())[1:]:',
            )
        ],
        "8",
    ),
    Mutant("a full store is insisted on", [(RUN, "if full == STORAGE_FULL_TRIES:", "if False:")], "15"),
    Mutant(
        "a storage outage is charged",
        [
            (
                RUN,
                'except StorageUnavailable as error:\n                log.warning("storage away',
                'except ZeroDivisionError as error:\n                log.warning("storage away',
            )
        ],
        "7",
    ),
    Mutant(
        "a Redis outage ends the worker",
        [(CONNECTION, "except (RedisError, *UNEXPECTED_ANSWER) as", "except ZeroDivisionError as")],
        "5",
    ),
    Mutant("an idle worker spins", [(SUPERVISOR, "self.queue.wait(WAIT_SECONDS)", "False")], "5"),
    Mutant("a worker without Redis spins", [("queue/backoff.py", "self._stopped.wait(self._seconds)", "pass")], "5"),
    Mutant(
        "orphans stay",
        [("maintenance/sweep.py", "ORPHAN_AFTER = timedelta(days=1)", "ORPHAN_AFTER = timedelta(days=9)")],
        "13",
    ),
    Mutant(
        "a replayed job keeps its attempts",
        [(f"{LUA}/replay.lua", "redis.call('HSET', key, 'attempts', '0')", "")],
        "8",
    ),
    Mutant(
        "damage: a refusal is insisted on",
        [(RUN, "if now - self.since >= self.context.worker.storage_refusal_seconds:", "if False:")],
        "17",
    ),
    Mutant(
        "damage: songs are claimed while the store refuses",
        [
            (
                "worker/claim_checks.py",
                "return self._has_memory() and self._has_room() and self._store_works()",
                "return self._has_memory() and self._has_room()",
            )
        ],
        "17",
    ),
    Mutant(
        "damage: songs are claimed without room",
        [(SUPERVISOR, "may_claim = self.checks.may_claim()", "may_claim = True")],
        "18",
    ),
    Mutant(
        "damage: options that cannot be read are the defaults",
        [(RUN, 'if "options" in self.claim.job.broken:', "if False:")],
        "19",
    ),
    Mutant(
        "damage: a job that stands in no list stays there",
        [(f"{LUA}/repair.lua", "if state == 'queued' then", "if false then")],
        "19",
    ),
    Mutant(
        "damage: attempts have to be a number",
        [("queue/lua/types.lua", "local count = tonumber(text or 0) or 0", "local count = tonumber(text or 0)")],
        "19",
    ),
    Mutant(
        "in flight: neighbours of a song that ends the process are charged",
        [(RUN, "if not (stay.crowded and _ended_process(error)):", "if True:")],
        "21",
    ),
    Mutant(
        "in flight: songs are run again beside others",
        [(RUN, "with self.context.gate.alone(self._wait):", "with self.context.gate.shared(self._wait):")],
        TWO_SONGS,
    ),
    Mutant(
        "in flight: a lost claim gives back the songs that run",
        [(SUPERVISOR, "if lost.fence not in self._held:", "if True:")],
        TWO_SONGS,
    ),
    Mutant(
        "tenants do not take turns",
        [(f"{LUA}/turns.lua", "next_turn(tenant_of(songhash), ", "next_turn('', ")],
        TURNS,
    ),
    Mutant(
        "a tenant without songs saves up turns",
        [(f"{LUA}/turns.lua", "math.max(count_of(seen[1]), count_of(seen[2])) + 1", "count_of(seen[2]) + 1")],
        TURNS,
    ),
    Mutant(
        "low priority is none",
        [(f"{LUA}/turns.lua", "return low and LOW + turn or turn", "return turn")],
        "tests/queue/test_priority.py",
    ),
    Mutant(
        "a loaded model's song of low priority overtakes others",
        [(f"{LUA}/claim.lua", "if lower or (other.tenant", "if (other.tenant")],
        "tests/queue/test_priority.py",
    ),
    Mutant(
        "lock of an upload not compared",
        [(f"{UPLOADS}/common.lua", "fields_of(upload_key(id), 'lock')[1] == token", "true")],
        UPLOAD_LIMITS,
    ),
    Mutant(
        "lock of an upload not waited for",
        [(f"{UPLOADS}/lock.lua", "(tonumber(record[4] or '') or 0) > now", "false")],
        UPLOAD_LIMITS,
    ),
    Mutant(
        "bytes of an upload acknowledged before they are stored",
        [
            (
                "uploads/append.py",
                """        self._storage.put_chunk(f"{self.upload.id}/{chunk.name}", source, size)
        failpoints.hit("after-chunk")
        self._advance(chunk, start + size, replaces=joined is not None)
""",
                """        self._advance(chunk, start + size, replaces=joined is not None)
        self._storage.put_chunk(f"{self.upload.id}/{chunk.name}", source, size)
        failpoints.hit("after-chunk")
""",
            )
        ],
        UPLOAD_LIMITS,
    ),
)


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    row: str = ""
    reason: str = "SURVIVED"


def try_mutant(mutant: Mutant, place: Path) -> Verdict:
    source = place / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file, old, new in mutant.edits:
        apply(source / "msaas" / file, old, new)
    for row in mutant.rows.split(","):
        run = _run_tests if row.endswith(".py") else _run_row
        if reasons := run(row, place, source):
            return Verdict(mutant, row, reasons[0])
    return Verdict(mutant)


def apply(path: Path, old: str, new: str) -> None:
    """Raises ValueError where the text stands there not exactly once: the list has to follow the sources."""
    text = path.read_text()
    if text.count(old) != 1:
        raise ValueError(f"{path.name}: {old!r} stands there {text.count(old)} times")
    path.write_text(text.replace(old, new))


def _run_row(row: str, place: Path, source: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.chaos", "--rows", row, "--scale", "short", "--out", str(place)]
    environ = os.environ | {"PYTHONPATH": str(source)}
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    found = place / f"row-{row}" / "result.json"
    if not found.exists():
        raise RuntimeError(f"the row did not run:\n{run.stderr[-2000:]}")
    return list(json.loads(found.read_text())["wrong"])


def _run_tests(file: str, _place: Path, source: Path) -> list[str]:
    """Raises RuntimeError where the tests did not run."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", file]
    environ = os.environ | {"PYTHONPATH": str(source)}
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        raise RuntimeError(f"the tests did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return [line for line in run.stdout.splitlines() if line.startswith("FAILED ")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    parser.add_argument("--lanes", type=int, default=2, help="how many at a time")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    print("| guard taken away | caught by row | because |\n|---|---|---|", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="msaas-mutants-") as place, ThreadPoolExecutor(options.lanes) as pool:
        places = [Path(place) / str(number) for number in range(len(chosen))]
        verdicts = [_show(verdict) for verdict in pool.map(try_mutant, chosen, places)]
    return 0 if all(verdict.row for verdict in verdicts) else 1


def _show(verdict: Verdict) -> Verdict:
    print(f"| {verdict.mutant.name} | {verdict.row or '–'} | {verdict.reason[:150]} |", flush=True)  # noqa: T201
    return verdict


if __name__ == "__main__":
    sys.exit(main())
