"""The functions compiled from C compute what torch's operations do, and an installation without them does without."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from demucs.demucs import DConv
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines import selection
from msaas.separation.engines.compiled import library as compiled
from msaas.separation.engines.htdemucs import fastest
from msaas.separation.engines.htdemucs.branches import ResidualBranches
from msaas.separation.engines.htdemucs.kernels import Kernels, composed_attention, fused_attention
from msaas.separation.engines.htdemucs.products import Weights
from tests.support.environment import REPOSITORY

CPU = torch.device("cpu")
BF16 = torch.bfloat16
SOURCE = REPOSITORY / "src" / "msaas" / "separation" / "engines" / "compiled" / "kernels.c"
needs_compiler = pytest.mark.skipif(
    compiled.library() is None, reason="there was no C compiler when MSaaS was installed here"
)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def without_library():
    """Forgets the library before and after."""
    compiled.library.cache_clear()
    yield
    compiled.library.cache_clear()


@pytest.fixture(params=["as installed", "x86-64-v3", "x86-64"])
def version(request, monkeypatch, tmp_path_factory) -> str:
    """The library as it was installed, and compiled for AVX2 and for any x86-64."""
    if request.param == "as installed":
        if compiled.library() is None:
            pytest.skip("there was no C compiler when MSaaS was installed here")
        return str(request.param)
    compiler = shutil.which("gcc")
    if compiler is None or platform.machine() != "x86_64":
        pytest.skip("needs gcc on x86-64")
    made = tmp_path_factory.mktemp("compiled") / "kernels.so"
    options = [*extension()["extra-compile-args"], f"-march={request.param}", "-DFOR_EACH_CPU=EXPORTED"]
    done = subprocess.run([compiler, *options, "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-lm"], check=False)
    if done.returncode:
        pytest.skip("this gcc does not compile it")
    compiled.library.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: SimpleNamespace(origin=str(made)))
    assert compiled.library() is not None
    request.addfinalizer(compiled.library.cache_clear)
    return str(request.param)


def extension() -> dict[str, Any]:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        [found] = tomllib.load(file)["tool"]["setuptools"]["ext-modules"]
    return dict(found)


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [0.01, 3, 1000])
def test_exponentials_over_their_sum_are_the_softmax(scale, version, threads) -> None:
    scores = (noise(7, 320) * scale).to(BF16)
    want = torch.softmax(scores.float(), -1)
    sums = compiled.exponentials(scores)
    assert (scores.float() * sums - want).abs().max() < 0.004


@needs_compiler
def test_attention_is_the_same(threads) -> None:
    query, key, value = (noise(2, 3, rows, 16, seed=rows) for rows in (700, 480, 480))
    want = fused_attention(query, key, value)
    half = [one.to(BF16) for one in (query * 16**-0.5, key, value)]
    own, got = (composed_attention(*half, compiled=used).float() for used in (False, True))
    assert selection._snr_db(got, want) > selection._snr_db(own, want) - 1.5  # one more rounding


@needs_compiler
def test_tokens_that_fill_no_vectors_are_torchs() -> None:
    half = [noise(1, 1, rows, 16, seed=rows).to(BF16) for rows in (30, 37, 37)]
    assert torch.equal(composed_attention(*half, compiled=True), composed_attention(*half))


@pytest.mark.parametrize("scale", [1e-38, 1e-6, 1, 1e30])
def test_integers_are_within_half_a_step(scale, version, threads) -> None:
    rows = (noise(5, 512) * scale).to(BF16)
    rows[1] = 0
    rows[2] = rows[2].abs().max()
    integers, scales = compiled.quantize(rows)
    assert integers.dtype is torch.uint8
    assert int(integers.min()) >= 1
    error = (integers.float() - 128) * scales.float() - rows.float()
    assert (error.abs() <= 0.501 * scales.float()).all()


@pytest.mark.parametrize("dtype", [torch.float32, BF16])
@pytest.mark.parametrize(("channels", "times"), [(48, 336), (48, 1), (20, 3), (16, 5001), (384, 40)])
def test_a_branch_is_the_modules(channels, times, dtype, version, threads, kit) -> None:
    module = kit.seeded(lambda: DConv(channels, compress=4, depth=2, init=0.3))
    rows = noise(3, times, channels).to(dtype)
    want = module(rows.float().transpose(1, 2)).transpose(1, 2)
    branches = ResidualBranches(module, Weights(CPU, dtype, {dtype: Kernels(compiled=True)}))
    assert {type(branch).__name__ for branch in branches._branches} == {"_CompiledBranch"}
    with torch.inference_mode():
        branches.add_to(rows)
    assert (rows.float() - want).abs().max() < (1e-4 if dtype is torch.float32 else 0.03) * want.abs().max()


@needs_compiler
@pytest.mark.parametrize("how", [{"gelu": False}, {"norm": False}], ids=["rectified", "without norms"])
def test_other_branches_are_torchs(how, kit) -> None:
    module = kit.seeded(lambda: DConv(16, compress=4, depth=1, **how))
    if not how.get("norm", True):
        with pytest.raises(ValueError, match="without norms"):
            ResidualBranches(module, Weights(CPU, torch.float32, {torch.float32: Kernels(compiled=True)}))
        return
    branches = ResidualBranches(module, Weights(CPU, torch.float32, {torch.float32: Kernels(compiled=True)}))
    assert [type(branch).__name__ for branch in branches._branches] == ["_Branch"]


def test_what_is_not_a_number_stays_visible(version) -> None:
    scores, rows = noise(4, 32).to(BF16), noise(4, 32).to(BF16)
    scores[1, 5] = rows[1, 5] = torch.nan
    sums = compiled.exponentials(scores)
    _integers, scales = compiled.quantize(rows)
    assert torch.isnan((scores.float() * sums)[1]).all()
    assert torch.isnan(scales[:, 0]).tolist() == [False, True, False, False]
    narrow, sound = noise(2, 9, 4), noise(2, 9, 16)
    narrow[1, 3, 2] = torch.nan
    weight, bias, gain = noise(32, 4), noise(32), noise(32)
    wide = compiled.packed_widening(weight, bias, gain, bias)
    compiled.add_branches(sound, narrow, torch.ones(2, 4), wide, torch.full((2,), 1e-5))
    assert torch.isnan(sound).all(dim=(1, 2)).tolist() == [False, True]


@pytest.mark.parametrize("bits", [0x7FFFFFFF, -1], ids=["positive", "negative"])
@pytest.mark.parametrize("dtype", [torch.float32, BF16])
@pytest.mark.parametrize("which", ["weight", "bias", "gain", "shift"])
def test_nan_of_any_bits_stays_visible(which, dtype, bits, version) -> None:
    """Such as a file of weights has where it is damaged: bytes of 0xFF."""
    layer = {"weight": noise(32, 4), "bias": noise(32), "gain": noise(32), "shift": noise(32)}
    layer[which].view(torch.int32)[20] = bits  # of a gate
    rows = noise(2, 9, 16).to(dtype)
    wide = compiled.packed_widening(*layer.values())
    compiled.add_branches(rows, noise(2, 9, 4).to(dtype), torch.ones(2, 4), wide, torch.full((2,), 1e-5))
    assert torch.isnan(rows[..., 4]).all()


@pytest.mark.parametrize("size", [1e9, 2e38])
def test_large_scores_have_the_softmax_of_torch(size, version) -> None:
    scores = (noise(5, 64).clamp(-1, 1) * size).to(BF16)
    want = torch.softmax(scores.float(), -1)
    sums = compiled.exponentials(scores)
    assert (scores.float() * sums - want).abs().max() < 0.004


@pytest.mark.parametrize("times", [1, 3, 31, 33, 70])
@pytest.mark.parametrize(("level", "spread"), [(100.1, 0), (-0.3, 0), (300, 0.1), (1e4, 1)])
def test_a_large_mean_costs_no_accuracy(level, spread, times, version) -> None:
    """The mean is removed before the squares are summed, from the zeros behind the times as well."""
    narrow, rows = level + spread * noise(2, times, 7), noise(2, times, 20)
    weight, bias, gain, shift = noise(40, 7), noise(40), noise(40, seed=2), noise(40, seed=3)
    norm = noise(2, 7)
    hidden = F.gelu(F.group_norm(narrow.double().transpose(1, 2), 1, norm[0].double(), norm[1].double(), 1e-5))
    wide = F.conv1d(hidden, weight[:, :, None].double(), bias.double())
    gated = F.glu(F.group_norm(wide, 1, gain.double(), shift.double(), 1e-5), 1)
    want = rows + gated.transpose(1, 2)
    compiled.add_branches(
        rows, narrow, norm, compiled.packed_widening(weight, bias, gain, shift), torch.full((2,), 1e-5)
    )
    assert (rows - want).abs().max() < 1e-3 * want.abs().max()


@pytest.mark.parametrize("level", [3.3, 100.1, -77.7])
def test_where_all_is_the_same_nothing_is_not_a_number(level, version) -> None:
    """As in silence. The variance is that of rounding, which may be below zero."""
    for times in range(1, 40):
        rows, narrow = torch.zeros(1, times, 3), torch.full((1, times, 5), level)
        wide = compiled.packed_widening(torch.full((6, 5), level), torch.full((6,), level), torch.ones(6), noise(6))
        norm = torch.stack([torch.ones(5), torch.full((5,), abs(level))])
        compiled.add_branches(rows, narrow, norm, wide, torch.full((2,), 1e-5))
        assert torch.isfinite(rows).all()


@needs_compiler
def test_a_branch_takes_rows_of_any_layout(kit) -> None:
    module = kit.seeded(lambda: DConv(16, compress=4, depth=2, init=0.3))
    branches = ResidualBranches(module, Weights(CPU, torch.float32, {torch.float32: Kernels(compiled=True)}))
    rows = noise(3, 16, 50).transpose(1, 2)
    want = module(rows.transpose(1, 2)).transpose(1, 2)
    with torch.inference_mode():
        branches.add_to(rows)
    assert (rows - want).abs().max() < 1e-4


@needs_compiler
def test_tensors_with_gaps_are_refused() -> None:
    with pytest.raises(RuntimeError, match="contiguous"):
        compiled.exponentials(noise(8, 64).to(BF16)[:, ::2])


@needs_compiler
@pytest.mark.parametrize("rows", [noise(8, 40).to(BF16), noise(8, 64)], ids=["part of a vector", "float32"])
def test_other_numbers_are_refused(rows) -> None:
    for function in (compiled.exponentials, compiled.quantize):
        with pytest.raises(RuntimeError, match="whole vectors"):
            function(rows)


def test_an_installation_without_a_compiler_does_without(monkeypatch, without_library) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert compiled.library() is None
    assert not fastest.fastest_kernels(torch.float32).compiled


def test_a_library_of_another_machine_is_not_used(monkeypatch, without_library, tmp_path, caplog) -> None:
    wrong = tmp_path / "kernels.so"
    wrong.write_bytes(b"\x7fELF of something else")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: SimpleNamespace(origin=str(wrong)))
    with caplog.at_level(logging.WARNING):
        assert compiled.library() is None
    assert "compiled kernels not used" in caplog.text


@needs_compiler
@pytest.mark.parametrize("share", [0, 0.004, 0.1, 0.5, 0.999])
def test_a_library_that_is_cut_off_is_not_used(share, monkeypatch, without_library, tmp_path, caplog) -> None:
    found = importlib.util.find_spec(compiled._MODULE)
    assert found is not None
    assert found.origin is not None
    whole = Path(found.origin).read_bytes()
    cut = tmp_path / "kernels.so"
    cut.write_bytes(whole[: int(share * len(whole))])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: SimpleNamespace(origin=str(cut)))
    with caplog.at_level(logging.WARNING):
        assert compiled.library() is None
    assert "compiled kernels not used" in caplog.text


@needs_compiler
def test_a_library_of_another_layout_is_not_used(monkeypatch, without_library, caplog) -> None:
    monkeypatch.setattr(compiled, "LAYOUT", compiled.LAYOUT + 1)
    with caplog.at_level(logging.WARNING):
        assert compiled.library() is None
    assert "install the package again" in caplog.text


def test_the_layout_has_another_number_after_each_change() -> None:
    """A library that was compiled before a change would read and write other memory. Where this fails: add one to
    msaas_layout in kernels.c and to LAYOUT in library.py, and write the new digest here."""
    source = SOURCE.read_text()
    found = [
        *re.findall(r"^(?:FOR_EACH_CPU|INLINE) void (?:msaas_|add_branch\b).*?\)$", source, re.MULTILINE | re.DOTALL),
        *re.findall(r"^typedef struct.*?^} Wide;|^INLINE Wide wide_at.*?^}", source, re.MULTILINE | re.DOTALL),
        *re.findall(r"^ +int64_t length = .*?means = .*?;", source, re.MULTILINE | re.DOTALL),
        *re.findall(r"VECTOR = \d+", source),
    ]
    assert len(found) == 9
    assert re.search(r"msaas_layout = (\d+);", source)[1] == str(compiled.LAYOUT) == "1"
    assert hashlib.sha256(" ".join(" ".join(found).split()).encode()).hexdigest()[:12] == "b1fb2013dd11"


def test_the_package_may_be_installed_without_it() -> None:
    assert extension()["name"] == compiled._MODULE
    assert extension()["optional"]
    assert [REPOSITORY / source for source in extension()["sources"]] == [SOURCE]
    assert SOURCE.is_file()
