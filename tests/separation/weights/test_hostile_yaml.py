"""Yaml files that no one can use: each makes only its own model unavailable, within seconds, and says why."""

from __future__ import annotations

import pytest

from msaas.errors import ModelUnavailable
from msaas.separation.weights.catalogue import CatalogueMirrors, _is_configuration
from msaas.separation.weights.config import MAX_YAML_BYTES, read_yaml
from msaas.separation.weights.loader import locate
from msaas.separation.weights.on_disk import all_held, fault_in_folder
from msaas.settings import Settings
from msaas.worker.child import _faults
from tests.support.models.families import SMALL, write_model

ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
MERGES = "m0: &m0 {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}\n" for n in range(1, 10))

HOSTILE = {
    "date": ("ensemble: [{model: scnet_mini, weight: 2001-99-99}]", "month must be in 1..12"),
    "float": ("ensemble: [{model: four, weight: !!float abc}]", "could not convert string to float"),
    "bool": ("ensemble: [{model: four, weight: !!bool abc}]", "KeyError"),
    "empty integer": ("ensemble: [{model: four, weight: !!int ''}]", "IndexError"),
    "timestamp": ("ensemble: [{model: four, weight: !!timestamp abc}]", "AttributeError"),
    "digits": (f"models: [{'1' * 5000}]", "a number may have at most 100 characters"),
    "hexadecimal": (f"ensemble: [0x{'f' * 5000}]", "a number may have at most 100 characters"),
    "weight": (f"ensemble: [{{model: four, weight: {10**400}}}]", "a number may have at most 100 characters"),
    "depth": ("[" * 3000, "RecursionError"),
    "key": ("? !!python/tuple [[1]]\n: 1", "TypeError"),
    "tag": (f"a: !{'t' * 10_000} 1", "could not determine a constructor"),
    "aliases": (f"{ALIASES}ensemble: [*a9]", "aliases are not read: write the value in place of *a0"),
    "aliases of networks": (f"{ALIASES}models: [*a9]", "aliases are not read"),
    "aliases in a configuration": (f"{ALIASES}family: scnet\nmodel: {{}}\nx: *a9", "aliases are not read"),
    "merges": (f"{MERGES}ensemble: [*m9]", "aliases are not read: write the value in place of *m0"),
    "itself": ("ensemble: &me [*me]", "aliases are not read"),
    "size": (f"models: [net]\n#{'x' * MAX_YAML_BYTES}", "is larger than 100000 bytes"),
    "bytes": (b"models: [\xff]", "UnicodeDecodeError"),
    "name": (f"models: [{'x' * 10_000}]", "has no xxx"),
    "member": ("ensemble: [{model: nested}]\n", "nested is an ensemble itself; name its members instead"),
    "member itself": ("ensemble: [{model: broken}]\n", "broken is an ensemble itself; name its members instead"),
    "segment": ("models: [net]\nsegment: 1e+12", "segment must be above 0 and at most 120 s, not 1000000000000.0"),
}


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A good model beside the yaml of `broken`, and empty caches."""
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [])
    write_model(tmp_path, "four", SMALL["scnet"])
    (tmp_path / "nested.yaml").write_text("ensemble: [{model: four}]")
    return tmp_path


def write(repo, text):
    path = repo / "broken.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(("text", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_worker_with_all_models_starts_without_the_broken_one(repo, environ, text, reason):
    write(repo, text)
    settings = Settings.from_env(environ | {"MSAAS_MODELS": "all", "MSAAS_MODEL_REPO": str(repo)})
    assert {"four", "nested"} <= set(all_held(repo))
    assert "broken" not in all_held(repo)
    faults = _faults(settings)
    assert reason in faults["broken"]
    assert len(faults["broken"]) < 1000
    assert "four" not in faults
    assert reason in fault_in_folder("broken", repo)
    assert any(reason in why for why in locate("broken", repo=repo, sources=[]).reasons)


@pytest.mark.parametrize("name", ["date", "bool", "depth", "key", "aliases", "merges", "size", "bytes"])
def test_reading_what_cannot_be_read_has_one_error(repo, name):
    path = write(repo, HOSTILE[name][0])
    with pytest.raises(ModelUnavailable, match=r"broken\.yaml is "):
        read_yaml(path)
    assert not _is_configuration(path)


def test_a_damaged_configuration_in_a_cache_does_not_keep_a_worker_from_starting(tmp_path, monkeypatch):
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [CatalogueMirrors(tmp_path)])
    (tmp_path / "scnet_large").mkdir()
    (tmp_path / "scnet_large" / "scnet_large.yaml").write_text("family: another\nmodel: {}\n")
    (tmp_path / "scnet_large" / "scnet_large.ckpt").write_bytes(b"weights")
    assert all_held(None) == ()


def test_an_anchor_without_an_alias_is_read(repo):
    assert read_yaml(write(repo, "a: &a [1, -2.5, 0x10, 1e-05]")) == {"a": [1, -2.5, 16, 1e-05]}
