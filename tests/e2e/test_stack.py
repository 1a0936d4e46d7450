"""`make serve`, killed whole and started again: every song that was accepted comes out."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from msaas.local.processes.child import wait_until
from msaas.local.servers import free_port
from tests.support.audio.sounds import decode_with_soundfile, flac, tune

pytestmark = pytest.mark.slow

SONGS = 12
SECONDS = 2


class ServedStack:
    """`msaas up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {"MSAAS_PORT": str(self.port), "MSAAS_LEASE_SECONDS": "3", "MSAAS_MODEL": "htdemucs_mini"}
        repo = {"MSAAS_MODEL_REPO": str(Path(__file__).parents[2] / "models")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "msaas.cli", "up"],
                cwd=self.folder,
                env=dict(os.environ) | settings | repo,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert wait_until(self.ready, 90), self.log.read_text()[-2000:]

    def ready(self) -> bool:
        return re.search(r"ready: http", self.log.read_text()) is not None and self.answers()

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=40)
        assert wait_until(lambda: not self.answers(), 60)
        self.log.write_text("")


@pytest.fixture
def stack(tmp_path):
    stack = ServedStack(tmp_path)
    yield stack
    if stack.process is not None and stack.process.poll() is None:
        stack.end(signal.SIGTERM)


def job(stack, songhash):
    return requests.get(f"{stack.url}/apiv1/jobs/{songhash}", timeout=60).json()


def test_twelve_waiting_songs_survive_a_killed_stack_and_old_stems_are_still_served(stack):
    stack.start()
    hashes = []
    for seed in range(SONGS):
        answer = requests.post(
            f"{stack.url}/apiv1/separate", files={"file": flac(tune(SECONDS, seed))}, data={"format": "wav"}, timeout=30
        )
        assert answer.status_code == 202
        hashes.append(answer.json()["songhash"])
    assert len(set(hashes)) == SONGS
    assert wait_until(lambda: job(stack, hashes[0])["state"] == "done", 60)
    early = requests.get(f"{stack.url}/apiv1/track/{hashes[0]}-vocals", timeout=60).content
    stack.end(signal.SIGKILL)
    stack.start()
    assert requests.get(f"{stack.url}/apiv1/track/{hashes[0]}-vocals", timeout=60).content == early
    deadline = time.monotonic() + 150
    for songhash in hashes:
        assert wait_until(lambda: job(stack, songhash)["state"] == "done", deadline - time.monotonic()), job(  # noqa: B023
            stack, songhash
        )
    for songhash in hashes:
        for stem in job(stack, songhash)["stems"]:
            data = requests.get(f"{stack.url}/apiv1/track/{songhash}-{stem}", timeout=60).content
            assert decode_with_soundfile(data).shape == (2, SECONDS * 44_100)
