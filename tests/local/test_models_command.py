"""`msaas models list|show|fetch|check`: the catalogue's facts, and the state of the weights on this machine."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest

from msaas import cli
from msaas.catalogue import catalogue
from msaas.cli.model_table import markdown_tables
from msaas.separation.weights import hosts
from msaas.separation.weights.catalogue import CatalogueMirrors
from msaas.separation.weights.sources import WeightsNotFound, in_folder
from tests.support.environment import REPOSITORY

MINI = REPOSITORY / "models" / "htdemucs_mini"
OWN = (
    b"audio: {sample_rate: 44100, chunk_size: 1000}\nmodel: {band_SR: [1], band_stride: [1], band_kernel: [3]}\n"
    b"training: {instruments: [vocals, other]}\ninference: {num_overlap: 2}\n"
)


@pytest.fixture(autouse=True)
def _no_network_and_empty_caches(monkeypatch, tmp_path, environ):
    for name in ("MSAAS_MODELS", "MSAAS_ACCEPT_UNLICENSED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MSAAS_MODEL", "MSAAS_MODEL_REPO"):
        monkeypatch.setenv(name, environ[name])
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [])


class Hosts:
    """Stands in for the hosts of weights: `asked` has each address, and those in `away` do not answer."""

    def __init__(self):
        self.asked, self.away = [], set()

    def ask(self, address, _seconds):
        self.asked.append(address)
        if urlsplit(address).netloc in self.away:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class DownloadedMini:
    """A source that has the small model on the network alone."""

    def cached(self, _name):
        raise WeightsNotFound("not here")

    held = cached

    def probe(self, _name):
        pass

    def download(self, name):
        return replace(in_folder(name, MINI), where="the hub")


class NobodyAnswers(DownloadedMini):
    def probe(self, _name):
        raise WeightsNotFound("no mirror answers")


@pytest.fixture(autouse=True)
def asked_hosts(monkeypatch):
    found = Hosts()
    monkeypatch.setattr(hosts, "silent_hosts", partial(hosts.silent_hosts, ask=found.ask))
    return found


@pytest.fixture
def models(capsys):
    def models(*arguments):
        status = cli.main(["models", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return models


def test_the_list_has_each_model_with_its_licence_and_where_its_weights_are(models):
    status, out, _ = models("list")
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert status == 0
    assert catalogue().entries.keys() <= rows.keys()
    assert rows["htdemucs_mini"].endswith(f"here: the folder {MINI}")
    assert "LicenseRef-research-only" in rows["htdemucs"]
    assert "MIT" in rows["scnet_large"]
    assert rows["scnet_large"].endswith("can be fetched, 169 MB")
    assert rows["scnet_xl_ihf"].endswith("refused: licence not stated")
    assert "MSAAS_ACCEPT_UNLICENSED" in out.splitlines()[-1]


def test_the_list_says_which_models_no_host_has_and_asks_each_host_once(models, asked_hosts):
    asked_hosts.away = {"huggingface.co", "dl.fbaipublicfiles.com"}
    status, out, _ = models("list")
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert status == 0
    assert rows["htdemucs_ft"].endswith("not available: no answer from huggingface.co or dl.fbaipublicfiles.com")
    assert rows["mdx"].endswith("not available: no answer from dl.fbaipublicfiles.com")
    assert rows["scnet_large"].endswith("can be fetched, 169 MB"), "GitHub has it as well"
    assert rows["htdemucs_mini"].endswith(f"here: the folder {MINI}")
    asked = [urlsplit(address).netloc for address in asked_hosts.asked]
    assert len(asked) == len(set(asked)) > 2
    assert {"huggingface.co", "dl.fbaipublicfiles.com", "github.com"} <= set(asked)


def test_the_list_gives_the_reason_of_each_silent_host_if_asked_to(models, asked_hosts):
    asked_hosts.away = {"dl.fbaipublicfiles.com"}
    assert "dl.fbaipublicfiles.com: Name or service not known\n" in models("list", "-v")[2]


def test_the_list_asks_no_host_if_all_models_are_here_or_refused(models, asked_hosts, monkeypatch):
    monkeypatch.setattr("msaas.cli.models._known", lambda _settings: ("htdemucs_mini", "scnet_xl_ihf"))
    assert models("list")[0] == 0
    assert not asked_hosts.asked


def test_the_list_for_programs_has_every_fact(models, monkeypatch):
    monkeypatch.setenv("MSAAS_MODELS", "scnet_large")
    found = {row["name"]: row for row in json.loads(models("list", "--json")[1])}
    assert found["scnet_large"]["licence"]["id"] == "MIT"
    assert found["scnet_large"]["licence"]["commercial"] is True
    assert [name for name, row in found.items() if row["offered"]] == ["htdemucs_mini", "scnet_large"]
    assert [name for name, row in found.items() if row["default"]] == ["htdemucs_mini"]


def test_a_model_of_ones_own_is_in_the_list(models, monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.yaml").write_bytes(OWN)
    (tmp_path / "mine" / "mine.ckpt").write_bytes(b"PK\x03\x04")
    shutil.copytree(MINI, tmp_path / "htdemucs_mini")
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(tmp_path))
    found = {row["name"]: row for row in json.loads(models("list", "--json")[1])}
    assert found["mine"]["weights"] == f"here: the folder {tmp_path / 'mine'}"
    assert found["mine"]["sources"] == ["vocals", "other"]
    assert "licence" not in found["mine"]


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (b"audio: {}\nmodel: {foo: 1}\n", "add a line `family: NAME`"),
        (OWN.replace(b"training:", b"learning:"), "has no section `training`"),
        (b"ensemble: [{model: nobody}]\n", "its member nobody is not on this machine"),
        (b"a: [", "is not a list of models"),
        (b"models: [nobody]\n", "has no nobody.th or .safetensors"),
        (OWN, "mine.ckpt is not a file of weights"),
    ],
    ids=["family", "section", "member", "yaml", "network", "weights"],
)
def test_a_model_of_ones_own_that_cannot_be_used_says_why(models, monkeypatch, tmp_path, config, fault):
    (tmp_path / "mine.yaml").write_bytes(config)
    (tmp_path / "mine.ckpt").write_bytes(b"garbage")
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(tmp_path))
    listed = {row["name"]: row for row in json.loads(models("list", "--json")[1])}["mine"]
    assert listed["weights"].startswith("cannot be used: ")
    assert fault in listed["weights"]
    for command in ("show", "check"):
        status, out, err = models(command, "mine")
        assert (status, out) == (1, "")
        assert fault in err
        assert "fetch" not in err


def test_a_model_is_shown_with_the_document_of_each_fact_also_before_its_weights_are_here(models, monkeypatch):
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [DownloadedMini()])
    status, out, _ = models("show", "mel_band_roformer_kim")
    shown = json.loads(out)
    assert (status, shown["licence"]["id"], shown["weights"]) == (0, "MIT", "can be fetched, 913 MB")
    assert any("issues/18" in document for document in shown["documents"]["licence"])
    assert shown["files"][0]["sha256"].startswith("87201f4d")


def test_a_model_that_no_source_has_is_not_shown_as_one_that_can_be_fetched(models, monkeypatch):
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [NobodyAnswers()])
    status, out, _ = models("show", "mel_band_roformer_kim")
    assert status == 0
    assert json.loads(out)["weights"].startswith("not available: ")


def test_a_model_that_is_here_is_shown_with_what_it_consists_of(models):
    shown = json.loads(models("show")[1])
    assert (shown["name"], shown["parts"], shown["licence"]["id"]) == ("htdemucs_mini", 1, "MIT")
    assert shown["weights"] == f"here: the folder {MINI}"


def test_an_unknown_model_is_one_line(models):
    status, _, err = models("show", "nobody")
    assert status == 1
    assert err.startswith("msaas: nobody: not available")


def test_a_check_reads_every_file_and_names_one_that_is_damaged(models, monkeypatch, tmp_path):
    status, out, _ = models("check", "--json")
    assert status == 0
    assert json.loads(out)["licence"] == "MIT"
    folder = shutil.copytree(MINI, tmp_path / "htdemucs_mini")
    (weights,) = folder.glob("*.th")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(tmp_path))
    status, _, err = models("check")
    assert status == 1
    assert f"{weights} is damaged" in err


def test_check_and_fetch_each_say_what_they_did(models, tmp_path):
    def done(*arguments):
        status, out, _ = models(*arguments)
        assert status == 0
        return out

    assert done("check", "htdemucs_mini").startswith(f"htdemucs_mini: checked in the folder {MINI}: the files agree")
    assert "nothing to download" in done("fetch", "htdemucs_mini")
    into = tmp_path / "into"
    copied = done("fetch", "htdemucs_mini", "--into", str(into))
    assert f"copied from the folder {MINI}, where it was already, to the folder {into}" in copied
    actions = [
        json.loads(done(*command, "htdemucs_mini", "--json"))["action"]
        for command in (("check",), ("fetch",), ("fetch", "--into", str(into)))
    ]
    assert actions == ["checked", "none", "copied"]


def test_fetch_says_that_it_downloaded_and_where_the_files_are(models, monkeypatch, tmp_path):
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [DownloadedMini()])
    monkeypatch.setattr("msaas.cli.models.models_folder", lambda: None)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(tmp_path / "empty"))
    status, out, _ = models("fetch", "htdemucs_mini")
    assert status == 0
    assert out.startswith(f"htdemucs_mini: downloaded, and loaded once; its files are in {MINI}")


def test_a_check_of_an_ensemble_compares_its_members_with_the_catalogue(models, monkeypatch, tmp_path):
    folder = shutil.copytree(MINI.parent, tmp_path / "models", ignore=shutil.ignore_patterns("training"))
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(folder))
    status, out, _ = models("check", "msaas_mini", "--json")
    assert (status, json.loads(out)["licence"]) == (0, "MIT")
    (weights,) = (folder / "scnet_mini").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes() + b"!")
    weights.rename(weights.with_name("scnet_mini.safetensors"))
    status, _, err = models("check", "msaas_mini")
    assert status == 1
    assert "the catalogue has " in err
    assert "for 'scnet_mini'" in err


@pytest.mark.parametrize("name", ["htdemucs_mini", "scnet_mini", "msaas_mini"])
def test_a_small_model_has_no_mirror_and_its_commands_say_where_it_is(models, monkeypatch, tmp_path, name):
    monkeypatch.setattr("msaas.separation.weights.on_disk.default_sources", lambda _name: [CatalogueMirrors(tmp_path)])
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(tmp_path))
    for command in ("fetch", "check"):
        status, _, err = models(command, name)
        assert status == 1
        assert "in the folder models of the source" in err or "to the folder models of the source" in err


def test_a_check_of_a_model_that_is_not_here_says_how_to_fetch_it(models):
    status, _, err = models("check", "scnet_large")
    assert status == 1
    assert "are not on this machine; " in err
    assert "models fetch scnet_large" in err


def test_a_file_under_a_catalogues_name_must_be_the_catalogues(models, monkeypatch, tmp_path):
    (tmp_path / "scnet_large").mkdir()
    (tmp_path / "scnet_large" / "scnet_large.yaml").write_bytes(OWN)
    (tmp_path / "scnet_large" / "scnet_large.ckpt").write_bytes(b"another file")
    monkeypatch.setenv("MSAAS_MODEL_REPO", str(tmp_path))
    status, _, err = models("check", "scnet_large")
    assert status == 1
    assert "the catalogue has 65900dfa" in err


@pytest.mark.parametrize("command", ["fetch", "check"])
def test_weights_without_a_stated_licence_are_refused_with_the_setting(models, command):
    status, _, err = models(command, "scnet_xl_ihf")
    assert status == 1
    assert err.rstrip().endswith("set MSAAS_ACCEPT_UNLICENSED=scnet_xl_ihf")


def test_the_tables_of_the_page_are_current(models):
    tables = models("list", "--markdown")[1].rstrip("\n")
    assert tables == markdown_tables(catalogue().entries)
    page = (REPOSITORY / "docs" / "models.md").read_text("utf-8")
    assert tables in page, "`msaas models list --markdown` prints the tables"
