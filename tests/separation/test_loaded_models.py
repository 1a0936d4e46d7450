"""Which models stay loaded: those used last, within the budget."""

from __future__ import annotations

import shutil

import pytest

from msaas.separation.loaded_models import LoadedModels
from msaas.settings import Settings
from msaas.worker.child import build_cache
from tests.support.environment import REPOSITORY
from tests.support.models import small_model

MINI = REPOSITORY / "models" / "htdemucs_mini"
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


def test_real_models_are_weighed_by_their_parameters_and_kept_within_the_budget(tmp_path):
    """htdemucs_mini under three names, of which two fit."""
    for name in ("mini_a", "mini_b", "mini_c"):
        folder = shutil.copytree(MINI, tmp_path / name, ignore=shutil.ignore_patterns("training*"))
        (folder / "htdemucs_mini.yaml").rename(folder / f"{name}.yaml")
    weight = 4 * small_model.PARAMETERS
    environ = {"MSAAS_MODEL": "mini_a", "MSAAS_MODEL_REPO": str(tmp_path), "MSAAS_MODEL_CACHE_BYTES": str(2 * weight)}
    names = []
    cache = build_cache(Settings.from_env(environ | {"MSAAS_DEVICE": "cpu", "MSAAS_PRECISION": "fp32"}), names.append)
    first = cache.separator("mini_a")
    assert first.model.parameter_bytes == weight
    cache.separator("mini_b")
    assert cache.separator("mini_a") is first
    cache.separator("mini_c")
    assert names == [("mini_a",), ("mini_a", "mini_b"), ("mini_b", "mini_a"), ("mini_a", "mini_c")]
