"""How runs end at awkward moments: cancelled at the last one, no room left, a worker killed before us."""

import threading
import time
import uuid
from itertools import count
from types import SimpleNamespace

import pytest
from minio import Minio
from minio.error import S3Error

from msaas import failpoints
from msaas.errors import QueueUnavailable, StorageFull
from msaas.local.processes.child import wait_until
from msaas.options import Options
from msaas.queue import Backoff
from msaas.queue.worker_registry import MODEL_WITHDRAWN_SECONDS
from msaas.worker import run, scratch
from msaas.worker.claim_checks import ModelOffers


@pytest.fixture(autouse=True)
def _disarmed():
    yield
    failpoints.disarm()


def stems_gone(harness, songhash, seconds=60):
    deadline = time.monotonic() + seconds
    while harness.storage.stems_of(songhash) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not harness.storage.stems_of(songhash)


def test_a_job_cancelled_between_its_last_stem_and_its_end_leaves_no_stems(harness):
    songhash = harness.song()
    failpoints.arm("before-finish", lambda: harness.queue.cancel(songhash))
    harness.worker()
    harness.until(songhash, "cancelled")
    assert stems_gone(harness, songhash)


def test_a_full_store_is_stated_after_a_bounded_number_of_tries(harness, monkeypatch):
    worker = harness.worker(max_attempts=1)
    harness.until(harness.song(), "done")
    tries = count(1)
    made = []

    def refuse(_name, _path):
        made.append(next(tries))
        raise StorageFull("QuotaExceeded")

    monkeypatch.setattr(worker.storage, "put_stem", refuse)
    assert harness.until(harness.song(), "failed").error["code"] == "storage_full"
    assert len(made) == run.STORAGE_FULL_TRIES


def test_songs_behind_one_that_meets_a_full_store_wait_uncharged(harness, monkeypatch):
    monkeypatch.setattr("msaas.worker.supervisor.CHECK_SECONDS", 0.05)
    full = [False]
    for name in ("fput_object", "put_object"):
        monkeypatch.setattr(Minio, name, _full_while(full, getattr(Minio, name)))
    songs = [harness.song() for _ in range(3)]
    full[0] = True
    worker = harness.worker()
    job = harness.until(songs[0], "failed")
    assert (job.error["code"], job.attempts) == ("storage_full", 1)
    assert wait_until(lambda: worker.ready()[1].get("code") == "storage_refused", 20)
    assert [harness.queue.get(song).attempts for song in songs[1:]] == [0, 0]
    assert wait_until(lambda: harness.queue.workers().why_waiting(harness.settings.model) is not None, 20)
    full[0] = False
    assert [harness.until(song, "done").attempts for song in songs[1:]] == [1, 1]


def _full_while(full, real):
    def put(*args, **kwargs):
        if full[0]:
            raise S3Error(SimpleNamespace(status=507, headers={}, data=b""), "QuotaExceeded", "no room", "r", "i", "h")
        return real(*args, **kwargs)

    return put


def test_a_model_whose_weights_are_missing_is_withdrawn_and_its_songs_wait_uncharged(harness):
    worker = harness.worker(models=("htdemucs",))
    foreign = str(uuid.uuid4())
    harness.store(foreign, {"do": "fail", "code": "model_unavailable", "retry": True})
    harness.queue.submit(foreign, {"model": "htdemucs", "options": Options(model="htdemucs").to_json()})
    assert wait_until(lambda: worker.offers == (harness.settings.model,), 60)
    harness.until(harness.song(), "done")
    waiting = harness.until(foreign, "queued")
    assert (waiting.attempts, waiting.error) == (0, None)
    assert wait_until(lambda: harness.queue.workers().why_waiting("htdemucs") is not None, 20)
    why = harness.queue.workers().why_waiting("htdemucs")
    assert why["code"] == "model_not_offered"
    assert why["detail"].startswith("htdemucs could not be loaded: ")


def test_a_model_of_the_operators_that_cannot_be_read_is_not_offered_from_the_start(harness, monkeypatch):
    monkeypatch.setenv("STUB_FAULT", "mine.yaml: no section `audio`")
    worker = harness.worker(models=("mine",))
    assert wait_until(lambda: worker.offers == (harness.settings.model,), 60)
    assert wait_until(lambda: harness.queue.workers().ready == 1, 20)
    assert (
        "mine could not be loaded: mine.yaml: no section `audio`"
        in (harness.queue.workers().why_waiting("mine")["detail"])
    )


def test_a_withdrawn_model_is_offered_again_later_and_the_default_is_never_withdrawn():
    now, changes = [0.0], []
    models = ModelOffers("a", ("a", "b"), changed=lambda: changes.append(1), clock=lambda: now[0])
    assert not models.withdraw("a", "no weights")
    assert models.withdraw("b", "no weights")
    assert (models.offered, models.faults, changes) == (("a",), {"b": "no weights"}, [1])
    now[0] = MODEL_WITHDRAWN_SECONDS
    assert (models.offered, models.faults) == (("a", "b"), {})


def test_a_job_that_failed_half_stored_leaves_no_stems(harness, monkeypatch):
    worker = harness.worker(max_attempts=1)
    harness.until(harness.song(), "done")
    put = worker.storage.put_stem

    def put_drums_only(name, path):
        if "drums" not in name:
            raise RuntimeError("boom")
        put(name, path)

    monkeypatch.setattr(worker.storage, "put_stem", put_drums_only)
    songhash = harness.song()
    harness.until(songhash, "failed")
    assert stems_gone(harness, songhash)


def test_a_stopping_worker_gives_back_a_claim_that_it_does_not_know_of(harness):
    worker = harness.worker()
    harness.until(harness.song(), "done")
    claim = worker.queue.claim

    def claim_and_lose_the_answer(*args, **preference):
        claimed = claim(*args, **preference)
        if claimed is None:
            return
        worker.stop()
        raise QueueUnavailable("the answer got lost")

    worker.queue.claim = claim_and_lose_the_answer
    songhash = harness.song()
    harness.ended(worker)
    job = harness.queue.get(songhash)
    assert (job.state, job.attempts) == ("queued", 0)
    assert harness.queue.waiting() == [songhash]


def test_scratch_of_a_killed_worker_is_swept_and_that_of_a_live_one_is_not(tmp_path):
    left = tmp_path / f"{scratch.PREFIX}left"
    left.mkdir()
    (left / "song").write_bytes(b"song")
    with scratch.scratch_folder(tmp_path, "live") as live:
        assert scratch.sweep(tmp_path) == 1
        assert live.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_has_no_lock_yet_is_left_alone(tmp_path):
    (tmp_path / f".{scratch.PREFIX}new").mkdir()
    assert scratch.sweep(tmp_path) == 0


def test_a_worker_says_what_it_offers_from_its_readiness_to_its_end(harness):
    worker = harness.worker(models=("htdemucs",))
    assert wait_until(lambda: harness.queue.workers().offering("htdemucs") == 1, 20)
    assert harness.queue.workers().offering("htdemucs_mini") == 1
    assert worker.ready()[1]["offers"] == ("htdemucs_mini", "htdemucs")
    worker.stop()
    harness.ended(worker)
    assert not harness.queue.workers().live


def test_a_worker_without_its_weights_lives_and_offers_nothing(harness, monkeypatch):
    monkeypatch.setenv("STUB_NOT_READY", "1")
    harness.worker()
    assert wait_until(lambda: any("model_unavailable" in one.reason for one in harness.queue.workers().live), 20)
    assert harness.queue.workers().ready == 0


def test_a_song_of_a_model_that_no_worker_runs_waits_uncharged_for_one_that_does(harness, redis):
    """API and workers disagree about MSAAS_MODEL: nothing fails, and what is behind goes on."""
    for _ in range(2):
        harness.worker()
    foreign = str(uuid.uuid4())
    harness.store(foreign, {"do": "separate"})
    harness.queue.submit(foreign, {"model": "htdemucs", "options": Options(model="htdemucs").to_json()})
    ours = [harness.song() for _ in range(3)]
    for songhash in ours:
        harness.until(songhash, "done")
    waiting = harness.queue.get(foreign)
    assert (waiting.state, waiting.attempts, waiting.error) == ("queued", 0, None)
    assert harness.queue.waiting() == [foreign]
    assert harness.queue.workers().why_waiting("htdemucs")["code"] == "model_not_offered"
    harness.worker(models=("htdemucs",))
    job = harness.until(foreign, "done")
    assert (job.attempts, job.model) == (1, "htdemucs")


def test_a_worker_that_has_only_songs_of_other_models_does_not_spin(harness, monkeypatch):
    pauses = []
    looked = threading.Event()

    class Pauses(Backoff):
        def wait(self):
            pauses.append(1)
            looked.set()
            self._stopped.wait(60)

    monkeypatch.setattr("msaas.worker.concurrency.slots.Backoff", Pauses)
    worker = harness.worker()
    assert wait_until(lambda: harness.queue.workers().ready == 1, 20)
    harness.queue.submit(str(uuid.uuid4()), {"model": "htdemucs"})
    assert looked.wait(20)
    assert len(pauses) == 1  # it rests there until it is woken by its end
    worker.stop()
    harness.ended(worker)
