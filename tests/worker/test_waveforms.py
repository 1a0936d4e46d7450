"""Waveforms on their way to storage: always whole, never in a run's way."""

import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from msaas.audio.waveform import Waveforms
from msaas.audio.waveform_detail import HEADER_BYTES, DetailHeader
from msaas.errors import StorageUnavailable
from msaas.maintenance.housekeeping import Housekeeper
from msaas.worker.waveforms import WaveformFile, WaveformUploader

SONGHASH = "6d736161-0000-5000-8000-000000000007"


def waveforms(done=500):
    made = Waveforms(["drums", "bass"], total_samples=1000, sample_rate=44_100)
    for stem in made.stems:
        made.add(stem, np.full((2, done), 0.5, np.float32))
    return made


class Store:
    """Remembers what was put; `broken` says how it fails, `hangs` what it waits for before it answers."""

    def __init__(self, broken=None, hangs=None):
        self.broken, self.hangs, self.put, self.details = broken, hangs, [], []

    def put_waveforms(self, songhash, data):
        if self.hangs:
            self.hangs.wait()
        if self.broken:
            raise self.broken
        self.put.append((songhash, json.loads(data)["done_samples"]))

    def put_waveform_detail(self, songhash, data):
        self.details.append((songhash, DetailHeader.parse(data[:HEADER_BYTES])))


def test_partial_ones_are_written_every_two_seconds_and_the_last_at_once(tmp_path):
    now = [0.0]
    file = WaveformFile(tmp_path / "waveforms.json", clock=lambda: now[0])
    written = []
    for second, done in [(0, 100), (1, 200), (1.9, 300), (2.1, 400), (2.2, 1000)]:
        now[0] = second
        file(waveforms(done))
        written.append(json.loads(file.path.read_text())["done_samples"])
    assert written == [100, 100, 100, 400, 1000]
    assert {path.name for path in tmp_path.iterdir()} == {"waveforms.json", "waveforms.detail"}


def test_a_folder_that_is_gone_fails_nothing(tmp_path):
    WaveformFile(tmp_path / "gone" / "waveforms.json")(waveforms())


def test_a_run_that_ends_well_leaves_its_last_waveforms(tmp_path):
    store, path = Store(), tmp_path / "waveforms.json"
    with WaveformUploader(store, SONGHASH, path):
        WaveformFile(path)(waveforms(400))
        WaveformFile(path)(waveforms(1000))
    assert store.put[-1] == (SONGHASH, 1000)
    assert store.details == [(SONGHASH, DetailHeader(256, 1000, ("drums", "bass")))]


def test_the_same_waveforms_are_put_once(tmp_path, monkeypatch):
    monkeypatch.setattr("msaas.worker.waveforms.POLL_SECONDS", 0.01)
    store, path = Store(), tmp_path / "waveforms.json"
    WaveformFile(path)(waveforms())
    with WaveformUploader(store, SONGHASH, path):
        time.sleep(0.2)
    assert len(store.put) == 1


def test_a_run_that_ends_badly_puts_nothing_more(tmp_path):
    store, path = Store(), tmp_path / "waveforms.json"
    WaveformFile(path)(waveforms())
    with pytest.raises(RuntimeError), WaveformUploader(store, SONGHASH, path):
        raise RuntimeError
    assert store.put == []


def test_a_store_that_is_away_fails_no_run(tmp_path):
    path = tmp_path / "waveforms.json"
    WaveformFile(path)(waveforms())
    with WaveformUploader(Store(broken=StorageUnavailable("away")), SONGHASH, path):
        pass


def test_a_store_that_does_not_answer_delays_a_run_by_a_moment_at_most(tmp_path):
    path = tmp_path / "waveforms.json"
    WaveformFile(path)(waveforms())
    answers = threading.Event()
    with WaveformUploader(Store(hangs=answers), SONGHASH, path):
        pass  # leaving it returns although the store has not answered
    answers.set()


def test_none_written_means_none_put(tmp_path):
    store = Store()
    with WaveformUploader(store, SONGHASH, tmp_path / "waveforms.json"):
        pass
    assert store.put == []


def test_waveforms_without_stems_are_swept_after_an_hour(queue, storage, tmp_path):
    with_stems, without = str(uuid.uuid4()), str(uuid.uuid4())
    (tmp_path / "stem").write_bytes(b"x")
    storage.put_stem(f"{with_stems}-drums.mp3", tmp_path / "stem")
    for songhash in (with_stems, without):
        storage.put_waveforms(songhash, b"{}")
        storage.put_waveform_detail(songhash, b"detail")
    assert Housekeeper(queue, storage, sweep_every_seconds=0).sweep() == []
    time.sleep(0.01)  # the lock of the last sweep
    later = datetime.now(UTC) + timedelta(hours=2)
    assert Housekeeper(queue, storage, sweep_every_seconds=0, now=lambda: later).sweep() == [
        f"{without}.detail",
        f"{without}.json",
    ]
    assert storage.read_waveforms(with_stems) and not storage.read_waveforms(without)
    assert storage.read_waveform_detail(with_stems, 1, 3) == b"eta"
    assert storage.read_waveform_detail(without, 1, 3) is None
