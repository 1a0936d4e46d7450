"""A worker with several models: those used last stay loaded within the budget, and their songs come first."""

from __future__ import annotations

import uuid

import pytest

from msaas.local.processes.child import wait_until
from msaas.options import Options
from msaas.separation.loaded_models import LoadedModels

SIZES = {"small": 10, "middle": 40, "large": 70, "huge": 500}


class Shelf:
    """LoadedModels whose models are their sizes."""

    def __init__(self, budget, expected=True):
        self.loads, self.peaks, self.changes = [], [], []
        self.models = LoadedModels(
            self.load,
            lambda size: size,
            budget_bytes=budget,
            expected_bytes=lambda name: SIZES.get(name, 0) if expected else 0,
            changed=self.changes.append,
        )

    def load(self, name):
        self.loads.append(name)
        if name == "broken":
            raise RuntimeError("no weights")
        self.peaks.append(sum(SIZES[one] for one in self.models.names) + SIZES[name])
        return SIZES[name]

    def use(self, *names):
        for name in names:
            assert self.models.get(name) == SIZES[name]
        return self.models.names


def test_by_default_one_model_is_kept_and_the_last_one_goes_before_the_next_comes():
    shelf = Shelf(0)
    assert shelf.use("small", "small", "large", "small") == ("small",)
    assert shelf.loads == ["small", "large", "small"]
    assert max(shelf.peaks) == SIZES["large"]


def test_models_stay_within_the_budget_and_the_one_used_longest_ago_goes():
    shelf = Shelf(120)
    assert shelf.use("small", "middle", "large") == ("small", "middle", "large")
    assert shelf.use("small") == ("middle", "large", "small")
    assert shelf.use("small", "large", "middle") == ("small", "large", "middle")
    assert shelf.loads == ["small", "middle", "large"]
    assert shelf.use("huge") == ("huge",)
    assert max(shelf.peaks[:-1]) <= 120


@pytest.mark.parametrize("expected", [True, False])
def test_a_model_of_unknown_size_is_weighed_once_it_is_loaded(expected):
    shelf = Shelf(80, expected)
    assert shelf.use("small", "middle", "large") == ("large",)
    assert (max(shelf.peaks) <= 80) is expected


def test_what_is_loaded_is_reported_when_it_changes_also_after_a_failure():
    shelf = Shelf(0)
    shelf.use("small", "small")
    with pytest.raises(RuntimeError):
        shelf.models.get("broken")
    assert shelf.changes == [("small",), ()]


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


def test_with_all_a_worker_offers_what_its_process_has_found(harness, monkeypatch):
    monkeypatch.setenv("STUB_MODELS", "mine,other")
    worker = harness.worker(models=("all",))
    songhash = song(harness, "mine")
    harness.until(songhash, "done")
    assert worker.offers == ("htdemucs_mini", "mine", "other")
    assert wait_until(lambda: "mine" in harness.queue.workers().models, 60)
