"""Weights of the catalogue's models from a stand-in for their mirrors on loopback."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import replace

import pytest
import torch

from msaas.catalogue import NOT_STATED, Entry, Licence, ModelFile
from msaas.catalogue.records import Training
from msaas.errors import ModelUnavailable
from msaas.separation.weights.catalogue import CatalogueMirrors, cache_folder
from msaas.separation.weights.loader import fetch, load_model, locate, refuse_unlicensed
from msaas.separation.weights.sources import WeightsNotFound
from tests.support.models.families import SMALL, write_model

CONFIG = b"audio: {sample_rate: 44100}\nmodel: {band_SR: [1], band_stride: [1], band_kernel: [3]}\n"
WEIGHTS = os.urandom(200_000)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch) -> None:
    monkeypatch.setattr("msaas.separation.weights.download.time.sleep", lambda seconds: None)


@pytest.fixture
def entry(server) -> Entry:
    """A model with two mirrors of its weights, `/a` and `/b`, and one of its configuration."""
    server.files |= {"/a/w.ckpt": WEIGHTS, "/b/w.ckpt": WEIGHTS, "/a/w.yaml": CONFIG}
    weights = ModelFile("w.ckpt", (f"{server.url}/a/w.ckpt", f"{server.url}/b/w.ckpt"), (), len(WEIGHTS), SHA256)
    return Entry(
        name="tiny",
        family="scnet",
        summary="For tests.",
        sources=("vocals", "other"),
        sample_rate=44_100,
        source=(),
        weights=(weights,),
        licence=Licence(NOT_STATED, (), "The paper names none."),
        training=Training(()),
        config=ModelFile("w.yaml", (f"{server.url}/a/w.yaml",), ()),
    )


@pytest.fixture
def mirrors(entry, tmp_path):
    """The mirrors of an entry, changed where a test says so."""

    def mirrors(**changes) -> CatalogueMirrors:
        changed = replace(entry, weights=(replace(entry.weights[0], **changes),))
        return CatalogueMirrors(tmp_path / "cache", find={"tiny": changed}.get)

    return mirrors


def left_in(tmp_path) -> set[str]:
    return {path.name for path in (tmp_path / "cache" / "tiny").iterdir() if path.name != ".lock"}


WHOLE = {"tiny.yaml", f"tiny-{SHA256[:8]}.ckpt"}


def test_a_model_is_downloaded_once_and_found_as_in_a_folder_of_models(mirrors, server, tmp_path):
    found = mirrors().download("tiny")
    assert (found.family, found.files[0].read_bytes()) == ("scnet", WEIGHTS)
    assert left_in(tmp_path) == WHOLE
    server.asked.clear()
    assert mirrors().cached("tiny").files == mirrors().download("tiny").files == found.files
    assert server.asked == []


def test_the_next_mirror_is_tried_after_one_that_fails(mirrors, server, tmp_path):
    del server.files["/a/w.ckpt"]
    assert mirrors().download("tiny").files[0].read_bytes() == WEIGHTS
    assert server.gets("/b/w.ckpt") == 1


def test_a_wrong_sha256_is_deleted_and_the_next_mirror_is_tried(mirrors, server, tmp_path):
    server.files["/a/w.ckpt"] = WEIGHTS[:-1] + b"!"
    assert mirrors().download("tiny").files[0].read_bytes() == WEIGHTS
    assert left_in(tmp_path) == WHOLE


def test_without_a_right_mirror_the_error_lists_what_each_one_has_and_nothing_is_kept(mirrors, server, tmp_path):
    server.files |= {"/a/w.ckpt": WEIGHTS[:-1] + b"!", "/b/w.ckpt": WEIGHTS + b"!"}
    with pytest.raises(WeightsNotFound) as refused:
        mirrors().download("tiny")
    assert f"/a/w.ckpt has the sha256 {hashlib.sha256(server.files['/a/w.ckpt']).hexdigest()}" in str(refused.value)
    assert f"instead of {SHA256}; deleted" in str(refused.value)
    assert f"/b/w.ckpt has {len(WEIGHTS) + 1} bytes instead of {len(WEIGHTS)}" in str(refused.value)
    assert left_in(tmp_path) == {"tiny.yaml"}


def test_a_broken_download_goes_on_where_it_stopped_and_in_the_next_run_too(mirrors, server, tmp_path):
    server.break_after["/a/w.ckpt"] = [100_000] + [0] * 4
    server.break_after["/b/w.ckpt"] = [0] * 5
    with pytest.raises(WeightsNotFound, match=r"/a/w\.ckpt failed 5 times.*/b/w\.ckpt failed 5 times"):
        mirrors().download("tiny")
    server.break_after.clear()
    server.files["/a/w.ckpt"] = b"?" * 100_000 + WEIGHTS[100_000:]  # its first part is not asked for again
    assert mirrors().download("tiny").files[0].read_bytes() == WEIGHTS


def test_the_begin_of_a_wrong_mirror_does_not_spoil_the_right_one(mirrors, server):
    server.files["/a/w.ckpt"] = b"?" * len(WEIGHTS)
    server.break_after["/a/w.ckpt"] = [100_000] + [0] * 4
    assert mirrors().download("tiny").files[0].read_bytes() == WEIGHTS


def test_two_mirrors_files_are_not_mixed_where_no_sha256_would_show_it(mirrors, server):
    server.break_after["/a/w.ckpt"] = [100_000] + [0] * 4
    server.files["/b/w.ckpt"] = other = b"?" * len(WEIGHTS)
    assert mirrors(sha256="").download("tiny").files[0].read_bytes() == other


def test_a_file_left_complete_by_a_killed_run_is_used(mirrors, server, tmp_path):
    folder = tmp_path / "cache" / "tiny"
    folder.mkdir(parents=True)
    (folder / f"tiny-{SHA256[:8]}.ckpt.partial").write_bytes(WEIGHTS)
    assert mirrors(bytes=None).download("tiny").files[0].read_bytes() == WEIGHTS
    assert left_in(tmp_path) == WHOLE


def test_a_page_instead_of_the_configuration_does_not_stay_in_the_cache(mirrors, server, tmp_path):
    server.files["/a/w.yaml"] = b"<html>Please log in.</html>"
    with pytest.raises(WeightsNotFound, match="is not a configuration; deleted"):
        mirrors().download("tiny")
    assert left_in(tmp_path) == set()


def test_a_probe_asks_for_one_byte_and_names_the_mirrors_that_do_not_answer(mirrors, server, refusing_url):
    mirrors().probe("tiny")
    away = f"{refusing_url}/w.ckpt"
    mirrors(urls=(away, f"{server.url}/a/w.ckpt")).probe("tiny")
    with pytest.raises(WeightsNotFound, match=r"no mirror of w\.ckpt answers \(http.*refused"):
        mirrors(urls=(away,)).probe("tiny")


def test_two_processes_at_once_download_a_model_once(mirrors, server):
    threads = [threading.Thread(target=mirrors().download, args=("tiny",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.gets("w.ckpt") == 1


def test_the_loader_names_the_mirrors_that_were_tried(mirrors, server, tmp_path):
    server.files.clear()
    with pytest.raises(ModelUnavailable, match=r"tiny' is not available.* Tried: .*no mirror of w\.ckpt answers"):
        load_model("tiny", repo=None, sources=[mirrors()])


def test_a_model_that_is_in_neither_catalogue_nor_cache_is_said_to_be_in_none(mirrors):
    with pytest.raises(WeightsNotFound, match="the catalogue has no mirrors of 'nobody'"):
        mirrors().probe("nobody")


@pytest.mark.parametrize("use", [load_model, fetch])
def test_weights_without_a_stated_licence_are_neither_loaded_nor_downloaded(use, tmp_path):
    with pytest.raises(ModelUnavailable, match="set MSAAS_ACCEPT_UNLICENSED=scnet_xl_ihf"):
        use("scnet_xl_ihf", repo=tmp_path, sources=[])


def test_acceptance_is_a_matter_of_the_name_also_for_a_folder_of_ones_own(tmp_path, licences):
    (tmp_path / "scnet_xl_ihf").mkdir()
    with pytest.raises(ModelUnavailable, match="no stated licence"):
        load_model("scnet_xl_ihf", repo=tmp_path, sources=[])
    refuse_unlicensed("scnet_xl_ihf", licences("scnet_xl_ihf"))
    refuse_unlicensed("my_scnet", licences())


def test_the_catalogues_other_families_have_their_mirrors_as_sources(monkeypatch, tmp_path, refusing_url):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(CatalogueMirrors, "probe", lambda self, name: None)
    assert locate("scnet_large", repo=None).obtainable
    assert cache_folder() == tmp_path / "msaas" / "models"


@pytest.mark.parametrize("family", SMALL)
def test_a_model_of_each_family_is_fetched_into_a_folder_and_separates_from_there(family, entry, server, tmp_path):
    config = write_model(tmp_path / "trained", "tiny", SMALL[family])
    for kind in ("yaml", "ckpt"):
        server.files[f"/a/w.{kind}"] = (tmp_path / "trained" / "tiny" / f"tiny.{kind}").read_bytes()
    weights = replace(entry.weights[0], bytes=None, sha256="", urls=(f"{server.url}/a/w.ckpt",))
    changed = replace(entry, family=family, weights=(weights,))
    mirrors = CatalogueMirrors(tmp_path / "cache", find={"tiny": changed}.get)
    fetch("tiny", tmp_path / "models", sources=[mirrors])
    model = load_model("tiny", repo=tmp_path / "models", sources=[])
    assert (model.sources, model.segment_samples) == (config.sources, config.chunk_samples)
    with torch.inference_mode():
        output = model.networks[0].module(torch.randn(1, 2, config.chunk_samples))
    assert output.abs().max() > 0
