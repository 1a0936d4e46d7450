"""The real separation process with two songs at a time, and htdemucs_mini."""

import hashlib
import threading

import pytest

from msaas.options import Options
from msaas.worker.process import SeparationProcess
from msaas.worker.protocol import Task
from tests.support.audio.sounds import flac, tune

pytestmark = pytest.mark.slow

OPTIONS = Options.parse({"format": "flac"}, default_model="htdemucs_mini", allowed=("htdemucs_mini",))


@pytest.fixture
def process(small_model, monkeypatch):
    monkeypatch.setenv("MSAAS_SONGS_IN_FLIGHT", "2")
    process = SeparationProcess(stall_seconds=120)
    assert process.ensure_ready(lambda: False), process.not_ready_reason
    yield process
    process.kill()


def separated(process, folder, seconds, heard=lambda _stage, _fraction: None):
    """Digests of the stems, and the report."""
    folder.mkdir()
    song = folder / "song"
    song.write_bytes(flac(tune(seconds)))
    done = process.separate(Task(song, folder / "stems", OPTIONS), lambda: False, heard)
    names = done["stems"]
    digests = {stem: hashlib.sha256((folder / "stems" / f"{stem}.flac").read_bytes()).hexdigest() for stem in names}
    return digests, done


def test_two_songs_at_a_time_get_the_stems_that_each_gets_by_itself(process, tmp_path):
    assert process.ready["songs"] == 2
    lengths = {"long": 12.0, "short": 5.0}
    alone = {name: separated(process, tmp_path / f"{name}-alone", seconds) for name, seconds in lengths.items()}
    assert alone["short"][1]["peak_bytes"] > 0
    together = {}
    both = threading.Barrier(len(lengths))

    def run(name, seconds):
        def heard(stage, _fraction):
            if stage == "separating" and name not in met:
                met.add(name)
                both.wait(60)  # each has begun before one ends

        met = set()
        together[name] = separated(process, tmp_path / name, seconds, heard)

    threads = [threading.Thread(target=run, args=song) for song in lengths.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert {name: digests for name, (digests, _) in together.items()} == {name: one[0] for name, one in alone.items()}
    assert [done["peak_bytes"] for _, done in together.values()] == [0, 0]  # not what one song needs
