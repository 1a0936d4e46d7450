"""The catalogue of models: every fact has its document, and a wrong file is refused with the place of the error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from msaas.catalogue import NOT_STATED, CatalogueError, catalogue, read_catalogue
from msaas.catalogue.records import FAMILIES
from msaas.local.model import DEFAULT_MODEL, SMALL
from msaas.separation.weights.on_disk import members
from msaas.separation.weights.sources import in_folder, sha256_of
from msaas.settings import Settings

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
SMALL_MODELS = sorted(path.name for path in MODELS.iterdir() if (path / f"{path.name}.yaml").is_file())

DOCUMENTS = '[paper]\ntitle = "A paper"\nurl = "https://example.org/paper"\n'
ENTRY = """
[tiny]
family = "scnet"
summary = "For tests."
sources = ["vocals", "other"]
sample_rate = 44100
source = ["paper"]
[[tiny.weights]]
file = "tiny.ckpt"
bytes = 12
sha256 = "0123456789abcdef"
urls = ["https://example.org/tiny.ckpt"]
source = ["paper"]
[tiny.config]
file = "tiny.yaml"
urls = ["https://example.org/tiny.yaml"]
source = ["paper"]
[tiny.licence]
id = "not stated"
statement = "The paper names none."
source = ["paper"]
[tiny.training]
data = "ten songs"
source = ["paper"]
[[tiny.sdr]]
benchmark = "ten songs"
mean = 4
stems = { vocals = 5.5 }
source = ["paper"]
[tiny.speed]
cpu = "fast"
source = ["paper"]
"""


def read(entry: str = ENTRY, documents: str = DOCUMENTS):
    return read_catalogue({"documents": documents, "scnet": entry})


def test_an_entry_is_read_with_all_its_facts():
    entry = read().entries["tiny"]
    assert (entry.family, entry.sources, entry.bytes) == ("scnet", ("vocals", "other"), 12)
    assert (entry.licence.stated, entry.licence.commercial) == (False, None)
    assert (entry.sdr[0].mean, dict(entry.sdr[0].stems)) == (4.0, {"vocals": 5.5})
    assert (entry.speed.cpu, entry.speed.gpu, entry.training.by) == ("fast", None, None)
    assert json.loads(json.dumps(entry.facts()))["licence"]["id"] == NOT_STATED


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('family = "scnet"', 'family = "spleeter"', "tiny: family = 'spleeter' is none of demucs, scnet"),
        ('family = "scnet"\n', "", "tiny: family is missing"),
        ('"For tests."', '"For tests"', "tiny: summary is not one sentence"),
        ('["vocals", "other"]', '["vocals"]', "tiny: sources is missing or empty"),
        ('["vocals", "other"]', '["vocals", "vocals"]', "tiny: sources is not a list of different texts"),
        ('["vocals", "other"]', '["vocals", "../x"]', "tiny: sources has a name that does not match"),
        ("sample_rate = 44100", 'sample_rate = "44100"', "tiny: sample_rate = '44100' is of the wrong type"),
        ("bytes = 12", "bytes = -12", r"tiny\.weights\[0\]: bytes is not positive"),
        ("bytes = 12", "bytes = true", r"tiny\.weights\[0\]: bytes = True is of the wrong type"),
        ("0123456789abcdef", "0123", r"tiny\.weights\[0\]: sha256 = '0123' does not match"),
        ("https://example.org/tiny.ckpt", "http://example.org/tiny.ckpt", "urls has a URL that is not https"),
        ('file = "tiny.ckpt"', 'file = "../tiny.ckpt"', r"tiny\.weights\[0\]: file = '\.\./tiny\.ckpt' does not match"),
        ('"not stated"', '"free"', r"tiny\.licence: id = 'free' is none of MIT"),
        ('statement = "The paper names none."\n', "", r"tiny\.licence: statement is missing"),
        ('mean = 4\nstems = { vocals = 5.5 }\n', "", r"tiny\.sdr\[0\]: has neither mean nor stems"),
        ('cpu = "fast"', 'cpu = "4 GHz"', r"tiny\.speed: cpu = '4 GHz' is none of fast"),
        ('data = "ten songs"', 'songs = 10', r"tiny\.training: has unknown fields: songs"),
        ('data = "ten songs"\nsource = ["paper"]', 'data = "ten songs"', r"tiny\.training: source is missing or empty"),
        ('source = ["paper"]\n[tiny.licence]', 'source = ["book"]\n[tiny.licence]', "the document 'book' is not in"),
        ("[tiny]", "[tiny", r"scnet\.toml: "),
        ("[tiny]", "[tiny]\nnote = 3", "tiny: note = 3 is of the wrong type"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_with_its_place(old, new, message):
    assert old in ENTRY
    with pytest.raises(CatalogueError, match=message):
        read(ENTRY.replace(old, new, 1))


def test_a_document_that_nobody_names_and_a_name_of_two_entries_are_refused():
    with pytest.raises(CatalogueError, match=r"documents\.toml: no entry names spare"):
        read(documents=DOCUMENTS + '[spare]\ntitle = "Spare"\nurl = "https://example.org"\n')
    with pytest.raises(CatalogueError, match="is in the catalogue twice"):
        read_catalogue({"documents": DOCUMENTS, "a": ENTRY, "b": ENTRY})


def test_the_catalogue_of_the_package_is_whole():
    entries = catalogue().entries
    assert {one.family for one in entries.values()} == set(FAMILIES)
    assert DEFAULT_MODEL in entries
    assert SMALL in entries
    downloaded = [entry for entry in entries.values() if entry.name not in SMALL_MODELS]
    assert all(file.urls for entry in downloaded for file in entry.files)
    assert all(Settings.from_env({"MSAAS_MODEL": name, "MSAAS_ACCEPT_UNLICENSED": name}) for name in entries)


def test_the_default_and_all_that_ran_before_the_catalogue_need_no_acceptance():
    demucs = [entry.name for entry in catalogue().entries.values() if entry.family == "demucs"]
    assert len(demucs) > 10
    assert Settings.from_env({"MSAAS_MODELS": ",".join(demucs)}).allowed_models == tuple(demucs)


def test_what_else_names_the_models_of_the_catalogue_is_current():
    entries = catalogue().entries
    assert sorted(catalogue().shipped()) == SMALL_MODELS
    assert f"published quality of {len(entries)} models" in (ROOT / "README.md").read_text("utf-8")
    page = (ROOT / "src/msaas/web/static/js/song/song.js").read_text("utf-8")
    (pattern,) = re.findall(r"^const SMALL_MODEL = /(.+?)/;", page, re.MULTILINE)
    assert {name for name in entries if re.search(pattern, name)} == set(SMALL_MODELS)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_a_small_models_figures_are_those_of_the_card(name):
    (score,) = catalogue().entries[name].sdr
    card = (MODELS / "README.md").read_text("utf-8")
    order = ("drums", "bass", "other", "vocals")
    row = " | ".join(f"{score.stems[stem]:.2f}" for stem in order)
    assert f"| {name} | {row} | {score.mean:.2f} |" in card


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_a_small_models_files_are_those_of_the_source(name):
    found = in_folder(name, MODELS)
    of_members = chain(*(in_folder(one.model, MODELS).files for one in members(found)))
    paths = {path.name: path for path in (*found.files, *of_members)}
    weights = catalogue().entries[name].weights
    assert sorted(paths) == sorted(file.file for file in weights)
    for file in weights:
        assert paths[file.file].stat().st_size == file.bytes
        assert sha256_of(paths[file.file]).startswith(file.sha256)


def test_the_catalogue_is_read_without_torch_yaml_and_network():
    code = "import sys; from msaas.catalogue import catalogue; print(len(catalogue().entries)); " + (
        "assert not {'torch', 'yaml', 'numpy', 'urllib.request'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
