"""What the separation process may take, and what becomes of a song that needs more. The real one, the small model."""

from __future__ import annotations

from pathlib import Path

import pytest

from msaas.jobs import Options
from msaas.separation.engine import cpu_threads
from msaas.worker.process import SeparationProcess, TaskFailed
from msaas.worker.protocol import Task
from tests.conftest import REPOSITORY
from tests.sounds import flac, tune

# The small model loads and is checked within 700 MB; two segments side by side take more than 760 (measured).
ENOUGH, TOO_LITTLE, NEXT_TO_NOTHING = "2000000000", "700000000", "200000000"
SEVERAL_SEGMENTS = 20  # seconds


@pytest.fixture
def process(monkeypatch):
    for name, value in {
        "MSAAS_MODEL": "htdemucs_mini",
        "MSAAS_MODEL_REPO": str(REPOSITORY / "models"),
        "MINIO_SECRET_KEY": "a secret of the store",
        "MSAAS_REDIS_PASSWORD": "a secret of the queue",
        "MSAAS_CALLBACK_SECRETS": "",
    }.items():
        monkeypatch.setenv(name, value)
    process = SeparationProcess(stall_seconds=120)
    yield process
    process.kill()


def separate(process, folder):
    song = folder / "song"
    song.write_bytes(flac(tune(SEVERAL_SEGMENTS)))
    assert process.ensure_ready(lambda: False), process.trouble
    options = Options.parse({}, default_model="htdemucs_mini", allowed=("htdemucs_mini",))
    return process.separate(Task(song, folder / "stems", options), lambda: False, lambda _stage, _fraction: None)


@pytest.mark.slow
@pytest.mark.skipif(cpu_threads() < 2, reason="on one core the lesser limit may do for a song")
def test_song_that_needs_too_much_memory_fails_with_that_reason_and_the_next_one_works(tmp_path, process, monkeypatch):
    monkeypatch.setenv("MSAAS_CHILD_MEMORY_BYTES", TOO_LITTLE)
    with pytest.raises(TaskFailed) as failed:
        separate(process, tmp_path)
    assert failed.value.code == "out_of_memory"
    assert not process.alive
    monkeypatch.setenv("MSAAS_CHILD_MEMORY_BYTES", ENOUGH)
    assert len(separate(process, tmp_path)["stems"]) == 4


def test_model_that_does_not_fit_is_said_to_be_the_reason_why_the_worker_is_not_ready(process, monkeypatch):
    monkeypatch.setenv("MSAAS_CHILD_MEMORY_BYTES", NEXT_TO_NOTHING)
    assert not process.ensure_ready(lambda: False)
    assert "out_of_memory" in process.trouble or "ended in mid-run" in process.trouble


def test_separation_process_holds_no_credentials(process):
    assert process.ensure_ready(lambda: False), process.trouble
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"a secret" not in environment
    assert b"MSAAS_MODEL=" in environment
