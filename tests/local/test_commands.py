"""`msaas up` and `msaas demo` as their users run them: real servers, the real API, a real worker, htdemucs_mini."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from msaas.local.folder import LiveStack
from msaas.local.processes.child import wait_until
from msaas.local.servers import free_port
from tests.local.conftest import ended
from tests.support.audio.sounds import decode_with_av, flac, tune
from tests.support.environment import REPOSITORY

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "msaas.cli")
STEMS = {"vocals.mp3", "drums.mp3", "bass.mp3", "other.mp3"}


@pytest.fixture
def environ() -> Mapping[str, str]:
    """Of a shell in which nothing of ours is set but the model, so that no hub is asked."""
    names = ("MSAAS_", "REDIS", "MINIO")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    model = {"MSAAS_MODEL": "htdemucs_mini", "MSAAS_MODEL_REPO": str(REPOSITORY / "models")}
    return clean | model | {"MSAAS_PORT": str(free_port())}


def demo(folder: Path, environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "demo", *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=200
    )


def left_over(folder: Path) -> list[psutil.Process]:
    """Processes that were told of this folder, by their working folder or their settings."""

    def concerned(process: psutil.Process) -> bool:
        try:
            scratch = process.environ().get("MSAAS_SCRATCH_DIR", "")
            return not ended(process) and (scratch.startswith(str(folder)) or process.cwd().startswith(str(folder)))
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if concerned(process)]


@pytest.fixture
def live(tmp_path: Path, environ: Mapping[str, str]) -> Iterator[LiveStack]:
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen([*COMMAND, "up"], cwd=tmp_path, env=environ, stdout=log, stderr=log) as process,
    ):
        state = tmp_path / ".msaas" / "stack.json"

        def settled() -> bool:
            found = LiveStack.read(state)
            return process.poll() is not None or bool(found and found.url)

        assert wait_until(settled, 120)
        found = LiveStack.read(state)
        assert found is not None, (tmp_path / "log").read_text()
        yield found
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    assert left_over(tmp_path) == []


def test_demo_from_nothing_leaves_four_stems_of_exact_length_and_no_process(
    tmp_path: Path, environ: Mapping[str, str]
) -> None:
    (tmp_path / "a song.flac").write_bytes(flac(tune(3.3)))
    ran = demo(tmp_path, environ, "a song.flac")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {path.name for path in (tmp_path / "stems").iterdir()} == STEMS
    for stem in STEMS:
        assert decode_with_av((tmp_path / "stems" / stem).read_bytes()).shape == (2, tune(3.3).shape[1])
    assert "made by htdemucs_mini" in ran.stdout.splitlines()[-1]
    assert left_over(tmp_path) == []


def test_demo_uses_the_live_stack_of_its_folder_and_tells_what_is_wrong_with_a_song(
    tmp_path: Path, environ: Mapping[str, str], live: LiveStack
) -> None:
    (tmp_path / "song.flac").write_bytes(flac(tune(1)))
    ran = demo(tmp_path, environ, "song.flac", "--stems", "elsewhere")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"using the running stack: {live.url}" in ran.stdout
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == STEMS

    (tmp_path / "letter.mp3").write_text("Dear Sir or Madam, " * 1000)
    refused = demo(tmp_path, environ, "letter.mp3")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("msaas: ")
    assert "422" in refused.stderr
