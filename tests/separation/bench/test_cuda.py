"""The measurements for a card, on a CPU with a small network: that they run and say what they should."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from demucs.htdemucs import HTDemucs

from bench.separation.cuda import parts
from bench.separation.cuda.__main__ import PARTS, measured, tables
from bench.separation.cuda.parts import Setup
from bench.separation.memory import make_song
from tests.support.environment import REPOSITORY

CPU = torch.device("cpu")


@pytest.fixture
def setup(kit, tmp_path):
    network = kit.seeded(
        lambda: HTDemucs(sources=["drums", "bass", "other", "vocals"], channels=8, t_layers=1, t_heads=2, segment=1)
    )
    mix = torch.randn(2, 3 * 44_100, generator=torch.Generator().manual_seed(0))
    return Setup(network, CPU, make_song(tmp_path, 3 / 60), mix, 3.0, batches=(1, 2), repeats=1)


@pytest.mark.slow
def test_the_model_alone_is_timed_and_compared_with_demucs_own(setup):
    rows = list(parts.alone(setup))
    assert [row["batch"] for row in rows] == [1, 2] * 6
    by_name = {row["who"]: row["db"] for row in rows}
    assert by_name["Demucs, fp32"] > 100 and by_name["MSaaS, float32"] > 80 and by_name["MSaaS, bfloat16"] > 20
    assert all(row["ms"] > 0 and row["realtime"] >= 0 for row in rows)


def test_operations_add_up_to_a_hundred_percent_at_most(setup):
    rows = list(parts.operations(setup))
    assert 1 <= len(rows) <= 12 and sum(row["percent"] for row in rows) <= 101


@pytest.mark.slow
def test_whole_jobs_of_both_are_timed_one_at_a_time_and_several_in_flight(setup):
    rows = [*parts.our_jobs(setup), *parts.demucs_job(setup)]
    assert [(row["who"], row["format"], row.get("in_flight")) for row in rows] == [
        ("MSaaS", "mp3", 1),
        ("MSaaS", "flac", 1),
        ("MSaaS", "wav", 1),
        ("MSaaS", "flac", 2),
        ("MSaaS", "flac", 3),
        ("MSaaS", "flac", 1),
        ("Demucs", "mp3" if find_spec("lameenc") else "none", None),
    ]
    text = "\n".join(tables(rows))
    assert "| MSaaS | flac | " in text and "| Demucs | " in text


@pytest.mark.slow
def test_a_part_that_fails_or_comes_too_late_is_named_and_the_others_are_measured(setup, monkeypatch):
    def fails(_setup):
        yield {"what": "operations", "name": "first", "percent": 1.0}
        raise RuntimeError("no kernel image for this card")

    monkeypatch.setitem(PARTS, "operations", fails)
    rows = list(measured(setup, 1000, ["operations", "model alone"]))
    assert rows[1] == {"what": "operations", "failed": "RuntimeError: no kernel image for this card"}
    assert rows[-1]["what"] == "model alone"
    assert "operations: RuntimeError: no kernel image for this card" in tables(rows)
    late = list(measured(setup, 0, ["model alone"]))
    assert len(late) == 2 and "left out after 0 s" in late[1]["failed"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so_in_a_sentence():
    command = [sys.executable, "-m", "bench.separation.cuda"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True)
    assert "finds no CUDA card here, so nothing was measured." in done.stdout
