"""The account itself has teeth: histories that are wrong are called wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.lab.account import p99
from tests.chaos.lab.ledger import Ledger, read_ledger
from tests.chaos.processes.failpoint_plan import Order, parse_plan

SONG = "00000000-0000-4000-8000-000000000001"
QUEUED = [["HSET", f"job:{SONG}", "state", "queued", "created_ms", "1000"], ["RPUSH", "toWorkers", SONG]]
CLAIMED = [
    ["LPOP", "toWorkers"],
    ["HSET", f"job:{SONG}", "state", "running", "fence", "1", "worker", "host-7-ab", "started_ms", "2000"],
    ["RPUSH", "toWorkers:processing", SONG],
    ["ZADD", "toWorkers:leases", "9000", SONG],
]
DONE = [
    ["ZREM", "toWorkers:leases", SONG],
    ["LREM", "toWorkers:processing", "0", SONG],
    ["HSET", f"job:{SONG}", "state", "done", "finished_ms", "3000"],
]


def resp(command: list[str]) -> bytes:
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in command)


def ledger_of(tmp_path: Path, *scripts: list[list[str]], cut: int = 0) -> Ledger:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    data = b"".join(resp(command) for script in scripts for command in [["MULTI"], *script, ["EXEC"]])
    (folder / "appendonly.aof.1.incr.aof").write_bytes(data[: len(data) - cut])
    return read_ledger(tmp_path)


def test_a_whole_life_has_its_moves_and_no_breach(tmp_path):
    ledger = ledger_of(tmp_path, QUEUED, CLAIMED, DONE)
    assert [move.kind for move in ledger.moves] == ["submitted", "claimed", "done"]
    assert (ledger.moves[1].worker, ledger.moves[2].at) == ("host-7-ab", 3.0)
    assert ledger.breaches == []


@pytest.mark.parametrize("missing", range(len(CLAIMED)))
def test_each_part_of_a_claim_is_missed_where_it_is_left_out(tmp_path, missing):
    claim = [command for at, command in enumerate(CLAIMED) if at != missing]
    assert ledger_of(tmp_path, QUEUED, claim).breaches


def test_two_steps_are_a_breach_even_if_both_were_taken(tmp_path):
    assert ledger_of(tmp_path, QUEUED, CLAIMED, DONE[:2], DONE[2:]).breaches


def test_two_publications_are_counted(tmp_path):
    assert ledger_of(tmp_path, QUEUED, CLAIMED, DONE, DONE).count("done")[SONG] == 2


def test_a_file_cut_short_is_read_as_far_as_it_is_whole(tmp_path):
    assert [move.kind for move in ledger_of(tmp_path, QUEUED, CLAIMED, DONE, cut=30).moves] == ["submitted", "claimed"]


def test_p99_is_a_nearest_rank():
    assert p99([]) is None
    assert p99([3.0, 1.0, 2.0]) == 3.0
    assert p99([float(n) for n in range(1, 201)]) == 198.0


def test_a_plan_names_the_point_the_count_and_the_action():
    assert parse_plan("before-put:2=kill,-") == [Order("before-put", 2, "kill"), None]
