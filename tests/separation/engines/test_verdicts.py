"""A verdict saves the check of a later start; one that cannot be used or written costs no more than that check."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from demucs.htdemucs import HTDemucs

from msaas.errors import Cancelled
from msaas.separation.engines import verdicts
from msaas.separation.engines.compiled.library import library
from msaas.separation.engines.htdemucs.kernels import Kernels
from msaas.separation.engines.selection import EngineChoice, choose_engine
from msaas.separation.engines.verdicts import RememberedChoice, default_folder, verdict_key
from msaas.separation.model import LoadedModel, from_demucs
from msaas.separation.pipeline import Separator

CPU = torch.device("cpu")
SEGMENT = 44_100


@pytest.fixture
def load(kit):
    """Loads the same model again and again."""

    def load(seed: int = 0, **how) -> LoadedModel:
        kwargs = {"channels": 8, "t_layers": 1, "t_heads": 2, "segment": 1, **how}
        return from_demucs("tiny", kit.seeded(lambda: HTDemucs(sources=["a", "b"], **kwargs), seed))

    return load


class Checks:
    """Counts the checks that are made."""

    def __init__(self) -> None:
        self.made = 0
        self.choice: EngineChoice | None = None  # instead of the real one

    def __call__(self, network, device, precision):
        self.made += 1
        engine, choice = choose_engine(network, device, precision, kernels=lambda _dtype: Kernels())
        return engine, self.choice or choice


@pytest.fixture
def checks():
    return Checks()


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_next_start_takes_the_verdict_and_separates_the_same(tmp_path, load, checks) -> None:
    mix = torch.randn(1, 2, SEGMENT, generator=torch.Generator().manual_seed(1))
    engine, choice = RememberedChoice(tmp_path / "engines", checks)(load().networks[0], CPU, "fp32")
    later, remembered = RememberedChoice(tmp_path / "engines", checks)(load().networks[0], CPU, "fp32")
    assert checks.made == 1
    assert remembered.as_report() == choice.as_report()
    assert torch.equal(later.forward(mix), engine.forward(mix))


@pytest.mark.parametrize("what", ["weights", "shape", "precision", "engines", "torch", "cpu", "isa", "library"])
def test_another_network_or_machine_is_checked(what, tmp_path, load, checks, monkeypatch) -> None:
    RememberedChoice(tmp_path, checks)(load().networks[0], CPU, "fp32")
    if what == "torch":
        monkeypatch.setattr(verdicts.torch, "__version__", "2.99.0")  # type: ignore[attr-defined]
    if what == "cpu":
        monkeypatch.setattr(verdicts, "_cpu", lambda: ("another",))
    if what == "engines":
        monkeypatch.setattr(verdicts, "_engines_version", lambda: ("another",))
    if what == "library":
        other = object() if library() is None else None
        monkeypatch.setattr(verdicts, "library", lambda: other)
    if what == "isa":
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    network = load(seed=int(what == "weights"), **({"t_layers": 2} if what == "shape" else {})).networks[0]
    RememberedChoice(tmp_path, checks)(network, CPU, "auto" if what == "precision" else "fp32")
    assert checks.made == 2


def damaged(good: dict) -> dict[str, bytes]:
    engine = good["engine"]

    def with_engine(**changed) -> bytes:
        return json.dumps({**good, "engine": {**engine, **changed}}).encode()

    return {
        "empty": b"",
        "half": json.dumps(good).encode()[:30],
        "not text": b"\xff\xfe\x00" * 50,
        "another type": b"[1, 2, 3]",
        "deep": b"[" * 9_000,
        "too large": json.dumps({**good, "more": "x" * 20_000}).encode(),
        "another key": json.dumps({**good, "key": "0" * 32}).encode(),
        "no engine": json.dumps({"key": good["key"]}).encode(),
        "no such layout": with_engine(layout="channels_first"),
        "a list of layouts": with_engine(layout=["module"]),
        "no such precision": with_engine(precision="fp8"),
        "a precision that was not asked for": with_engine(precision="bf16", snr_db=50),
        "no such kernel": with_engine(kernels={"fp32": ["warp drive"]}),
        "kernels of no list": with_engine(kernels={"fp32": 3}),
        "not a number": with_engine(snr_db=float("nan")),
        "text for a number": with_engine(snr_db="100"),
    }


@pytest.mark.parametrize("kind", damaged({"key": "", "engine": {}}))
def test_a_damaged_or_foreign_verdict_means_a_check(kind, tmp_path, load, checks) -> None:
    RememberedChoice(tmp_path, checks)(load().networks[0], CPU, "fp32")
    path = only_file(tmp_path)
    good = path.read_text()
    path.write_bytes(damaged(json.loads(good))[kind])
    _, choice = RememberedChoice(tmp_path, checks)(load().networks[0], CPU, "fp32")
    assert checks.made == 2
    assert choice.snr_db is not None
    assert json.loads(path.read_text())["key"] == json.loads(good)["key"]  # and written again


def test_half_precision_below_40_db_is_not_taken_from_a_file() -> None:
    engine = {"layout": "channels_last", "precision": "fp16", "snr_db": 39.0, "kernels": {}}
    with pytest.raises(ValueError, match="too low"):
        verdicts.parse_verdict({"key": "k", "engine": engine}, "k", torch.device("cuda"), "auto")
    parsed = verdicts.parse_verdict({"key": "k", "engine": {**engine, "snr_db": 50}}, "k", torch.device("cuda"), "auto")
    assert parsed.precision == "fp16"


def test_a_remembered_engine_that_fails_is_checked_again(tmp_path, load, checks, monkeypatch) -> None:
    RememberedChoice(tmp_path, checks)(load().networks[0], CPU, "fp32")

    def fails(*_args):
        raise RuntimeError("no such kernel on this machine")

    monkeypatch.setattr(verdicts, "engine_of", fails)
    RememberedChoice(tmp_path, checks)(load().networks[0], CPU, "fp32")
    assert checks.made == 2


@pytest.mark.parametrize("obstacle", ["a file in the way", "a folder in the way", "no folder at all"])
def test_where_nothing_can_be_written_the_check_is_made_at_each_start(obstacle, tmp_path, load, checks) -> None:
    folder: Path | None = tmp_path / "engines"
    assert folder is not None
    if obstacle == "a file in the way":
        folder.write_text("")
    if obstacle == "a folder in the way":
        (folder / f"{verdict_key(load().networks[0], CPU, 'fp32')}.json").mkdir(parents=True)
    if obstacle == "no folder at all":
        folder = None
    for count in (1, 2):
        RememberedChoice(folder, checks)(load().networks[0], CPU, "fp32")
        assert checks.made == count
    assert not list(tmp_path.rglob("*.partial"))


def test_old_verdicts_are_deleted(tmp_path, load, checks, monkeypatch) -> None:
    monkeypatch.setattr(verdicts, "MAX_VERDICTS", 2)
    for age in (3, 2, 1):
        path = tmp_path / f"{age}.json"
        path.write_text("{}")
        os.utime(path, (1000 - age, 1000 - age))
    RememberedChoice(tmp_path, checks)(load().networks[0], CPU, "fp32")
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "1.json").exists()


def test_the_folder_is_in_the_users_cache(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "msaas" / "engines"


def test_released_weights_leave_stems_and_sizes_as_they_were(load) -> None:
    learnt = {"t_emb": "scaled", "t_max_positions": 4096}  # which the engine asks the module for
    whole, released = load(**learnt), load(**learnt)
    mix = torch.randn(1, 2, SEGMENT, generator=torch.Generator().manual_seed(1))
    one = Separator(whole, CPU, precision="fp32")._engines[0].forward(mix)
    other = Separator(released, CPU, precision="fp32", release=True)._engines[0].forward(mix)
    assert torch.equal(one, other)
    assert released.describe() == whole.describe()
    assert released.parameter_bytes == whole.parameter_bytes
    kept = [name for name, tensor in released.networks[0].module.named_parameters() if tensor.numel()]
    assert all("position_embeddings" in name for name in kept)


def test_a_remembered_engine_is_checked_when_there_is_time(tmp_path, load, checks) -> None:
    Separator(load(), CPU, precision="fp32", choose=RememberedChoice(tmp_path, checks))
    remembered = RememberedChoice(tmp_path, checks)
    separator = Separator(load(), CPU, precision="fp32", choose=remembered, release=True)
    assert checks.made == 1
    checks.choice = EngineChoice("channels_last", "fp32", 99.0)  # what the check says today
    with pytest.raises(Cancelled):
        separator.confirm(remembered, load, lambda: True)  # a song comes
    assert separator.choices[0]["snr_db"] != 99.0
    separator.confirm(remembered, load, lambda: False)
    assert separator.choices[0]["snr_db"] == 99.0
    made = checks.made
    separator.confirm(remembered, load, lambda: False)
    assert checks.made == made
    assert json.loads(only_file(tmp_path).read_text())["engine"]["snr_db"] == 99.0
