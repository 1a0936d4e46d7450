"""A worker with several models takes the songs of those that it has loaded together."""

from __future__ import annotations

import uuid

from msaas.local.processes.child import wait_until
from msaas.options import Options


def song(harness, model):
    """A song of a model, posted as the API does."""
    songhash = str(uuid.uuid4())
    harness.store(songhash, {"do": "separate", "name": songhash, "seconds": 0.01})
    harness.queue.submit(songhash, {"model": model, "options": Options(model=model).to_json()})
    return songhash


def test_a_worker_takes_the_songs_of_its_loaded_model_together(harness):
    """Six songs of two models in turn: three of the first, then the others, instead of a switch at each."""
    models = ["htdemucs_mini", "other"] * 3
    songs = [song(harness, model) for model in models]
    harness.worker(models=("other",), loaded_first_songs=4)
    done = [harness.until(one, "done") for one in songs]
    order = [job.model for job in sorted(done, key=lambda job: job.started_at)]
    assert order == ["htdemucs_mini"] * 3 + ["other"] * 3


def test_the_supervisor_knows_what_its_process_has_loaded_and_forgets_it_with_the_process(harness):
    worker = harness.worker(models=("other",))
    harness.until(song(harness, "other"), "done")
    assert worker.process.loaded == ("other",)
    assert wait_until(lambda: harness.queue.counts().in_work == 0, 60)
    worker.process.kill()
    assert worker.process.loaded in ((), ("htdemucs_mini",))


def test_a_refining_model_that_cannot_be_loaded_is_withdrawn_alone(harness):
    """The song waits uncharged for a worker that has it; songs of the first model go on."""
    harness.worker(models=("other", "drumsep"))
    songhash = str(uuid.uuid4())
    harness.store(songhash, {"do": "fail", "code": "model_unavailable", "retry": True, "model": "drumsep"})
    options = Options("other", refine=(("drums", "drumsep"),))
    harness.queue.submit(songhash, {"model": "other", "options": options.to_json()})
    assert wait_until(lambda: "drumsep" not in harness.queue.workers().models and harness.queue.workers().ready, 60)
    assert wait_until(lambda: harness.queue.get(songhash).state == "queued", 60)
    waiting = harness.queue.get(songhash)
    assert waiting.attempts == 0 and waiting.models == ("other", "drumsep")
    assert harness.queue.workers().why_waiting(*waiting.models)["code"] == "model_not_offered"
    harness.until(song(harness, "other"), "done")


def test_with_all_a_worker_offers_what_its_process_has_found(harness, monkeypatch):
    monkeypatch.setenv("STUB_MODELS", "mine,other")
    worker = harness.worker(models=("all",))
    songhash = song(harness, "mine")
    harness.until(songhash, "done")
    assert worker.offers == ("htdemucs_mini", "mine", "other")
    assert wait_until(lambda: "mine" in harness.queue.workers().models, 60)
