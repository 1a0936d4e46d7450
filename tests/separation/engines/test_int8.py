"""8-bit integers in the transformer: right for any tokens, named, and used only where right and faster."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines import selection, verdicts
from msaas.separation.engines.compiled.library import library
from msaas.separation.engines.htdemucs import ChannelsLast, fastest, has_wide_tokens, products
from msaas.separation.engines.htdemucs.int8 import Int8, quantize
from msaas.separation.engines.htdemucs.kernels import Kernels
from msaas.separation.engines.selection import EngineChoice, choose_engine
from msaas.separation.engines.verdicts import parse_verdict
from msaas.separation.model import from_demucs
from msaas.separation.weights.loader import load_model
from tests.support.audio.sounds import decode_with_av
from tests.support.environment import REPOSITORY

GATE = REPOSITORY / "tests" / "e2e" / "gate"
CPU = torch.device("cpu")
BF16 = torch.bfloat16
SEGMENT = 44_100


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network(kit, monkeypatch):
    """With small layers, for which 8-bit integers are used nevertheless."""
    monkeypatch.setattr(products, "MIN_INT8_CHANNELS", 1)
    kwargs = {"channels": 8, "t_layers": 3, "t_heads": 2, "segment": 1}
    return kit.seeded(lambda: HTDemucs(sources=["a", "b"], **kwargs))


def need_products() -> None:
    if not fastest._int8_is_right(BF16):
        pytest.skip("this torch or CPU has no right products of 8-bit integers")


@pytest.mark.parametrize("outlier", [1, 1000])
def test_a_layer_keeps_each_token_to_its_own_scale(outlier) -> None:
    need_products()
    x, weight, bias = noise(2, 50, 256), noise(64, 256, seed=2), noise(64, seed=3)
    x[1, 7, 5] = outlier  # in one token
    want = F.linear(x, weight, bias)
    got = Int8(weight.to(BF16), bias.to(BF16), 100)(x.to(BF16)).float()
    others = [row for row in range(50) if row != 7]
    assert got.shape == want.shape
    assert selection._snr_db(got[:, others], want[:, others]) > 35


def test_a_token_of_zeros_gives_the_bias() -> None:
    need_products()
    weight, bias = noise(64, 256, seed=2).to(BF16), noise(64, seed=3).to(BF16)
    assert torch.equal(Int8(weight, bias, 4)(torch.zeros(4, 256, dtype=BF16)), bias.expand(4, -1))


def test_integers_have_the_sign_and_the_scale_of_their_row() -> None:
    rows = torch.tensor([[1.0, -1.0, 0.5, 0.0], [1e-6, 3e-6, -2e-6, 0.0]]).to(BF16)
    integers, scales = quantize(rows)
    assert integers.dtype is torch.uint8
    assert int(integers.min()) >= 1
    assert ((integers.float() - 128) * scales.float() - rows.float()).abs().max() <= scales.float().max()


def test_the_network_agrees_with_its_own_forward(network) -> None:
    need_products()
    mix = noise(1, 2, SEGMENT)
    with torch.inference_mode():
        want = network(mix)
    half = {BF16: Kernels(packed=fastest._is_exact(BF16)), torch.float32: Kernels()}
    in_integers = half | {BF16: Kernels(int8=True)}
    plain, got = (selection._snr_db(ChannelsLast(network, CPU, BF16, used)(mix), want) for used in (half, in_integers))
    assert got > plain - 0.5


def choose(network) -> EngineChoice:
    """Where bfloat16 is the faster: the clock is read before and after each forward, of float32 first."""
    seconds = iter([0, 2, 2, 3, 3, 4])
    part = from_demucs("tiny", network).networks[0]
    return choose_engine(
        part,
        CPU,
        bf16=lambda: True,
        kernels=lambda dtype: Kernels(int8=dtype is BF16),
        clock=lambda: next(seconds),
    )[1]


def test_it_is_named_in_the_report_and_read_back(network, monkeypatch) -> None:
    need_products()
    choice = choose(network)
    report = choice.as_report()
    assert report["precision"] == "bf16+int8"
    monkeypatch.setattr(verdicts, "has_bf16", lambda: True)
    content = json.loads(json.dumps({"key": "k", "engine": report}))
    assert parse_verdict(content, "k", CPU, "auto").as_report() == report


def test_a_network_that_loses_by_it_does_without(network, monkeypatch) -> None:
    need_products()
    monkeypatch.setattr(Int8, "__call__", lambda self, x: self._bias.expand(*x.shape[:-1], -1))
    assert choose(network).as_report()["precision"] == "bf16"


def test_what_costs_fidelity_is_given_up_one_after_the_other() -> None:
    measured = {torch.float32: Kernels(packed=True), BF16: Kernels(packed=True, int8=True, half_gates=True)}
    wanted = [("packed", "half_gates", "int8"), ("packed", "int8"), ("packed",)]
    tried = selection._kernel_sets(BF16, measured, int8=True)
    assert [used[BF16].names() for used in tried[:-1]] == wanted
    assert tried[-1] == {}
    without = selection._kernel_sets(BF16, measured, int8=False)
    assert [used[BF16].names() for used in without[:-1]] == [("packed", "half_gates"), ("packed",)]
    assert selection._kernel_sets(torch.float32, measured, int8=True) == [{torch.float32: Kernels(packed=True)}, {}]
    assert selection._kernel_sets(BF16, {}, int8=True) == [{}]


def test_one_stem_that_loses_is_enough() -> None:
    want = torch.stack([noise(2, 1000), 0.01 * noise(2, 1000, seed=2)])[None]
    got = want.clone()
    got[:, 1] += 0.001 * noise(2, 1000, seed=3)
    assert selection._agrees(got, want, exact=False)
    assert not selection._agrees(got, want, exact=False, each_stem=True)


def test_narrow_tokens_are_not_converted(kit) -> None:
    narrow, wide = (
        kit.seeded(
            partial(HTDemucs, sources=["a"], channels=8, t_layers=1, t_heads=2, segment=1, bottom_channels=width)
        )
        for width in (32, products.MIN_INT8_CHANNELS)
    )
    assert not has_wide_tokens(narrow)
    assert has_wide_tokens(wide)
    assert not has_wide_tokens(torch.nn.Linear(1, 1))
    assert choose(narrow).as_report()["precision"] == "bf16"


@pytest.mark.parametrize("operations", [SimpleNamespace(), SimpleNamespace(qlinear_prepack=lambda *_: 0)])
def test_a_torch_without_these_products_does_without(operations, monkeypatch) -> None:
    monkeypatch.setattr(torch.ops, "onednn", operations)
    assert not fastest._int8_is_faster(BF16, Kernels(), lambda: 0.0)


class Product:
    """Takes some seconds of a clock a token, and counts the tokens."""

    now, tokens = 0.0, 0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        Product.now += self.seconds * len(x)
        Product.tokens += len(x)
        return x


@pytest.mark.parametrize(("seconds", "used"), [(0.5, True), (0.99, False), (2.0, False), (1000.0, False)])
def test_it_is_used_where_it_is_faster(seconds, used, monkeypatch) -> None:
    monkeypatch.setattr(fastest, "_int8_is_right", lambda _dtype: True)
    monkeypatch.setattr(fastest, "Packed", lambda *_: Product(1.0))
    monkeypatch.setattr(fastest, "Int8", lambda *_, **__: Product(seconds))
    monkeypatch.setattr(Product, "tokens", 0)
    assert fastest._int8_is_faster(BF16, Kernels(packed=True), lambda: Product.now) is used
    assert (Product.tokens < 100) is (seconds == 1000.0)  # a reference implementation is tried on a few tokens only
    assert not fastest._int8_is_faster(torch.float32, Kernels(packed=True), lambda: Product.now)


@pytest.mark.slow
@pytest.mark.parametrize("names", [["int8"], ["half_gates"], ["int8", "half_gates", "compiled", "composed_attention"]])
def test_the_trained_small_model_separates_as_well(names, monkeypatch) -> None:
    """On the first segment of songs that it never learnt from, in each stem to 0.02 dB of SDR."""
    need_products()
    if "compiled" in names and library() is None:
        pytest.skip("there was no C compiler when MSaaS was installed here")
    monkeypatch.setattr(products, "MIN_INT8_CHANNELS", 1)
    model = load_model("htdemucs_mini", repo=REPOSITORY / "models", sources=[])
    half = {BF16: Kernels(), torch.float32: Kernels()}
    engines = [
        ChannelsLast(model.networks[0].module, CPU, BF16, used) for used in (half, half | {BF16: Kernels.of(names)})
    ]
    for song in sorted(folder for folder in GATE.iterdir() if folder.is_dir()):
        stems = torch.stack(
            [torch.from_numpy(decode_with_av((song / f"{name}.mp3").read_bytes())) for name in model.sources]
        )
        stems = stems[..., : model.segment_samples]
        mixture = stems.sum(0)
        plain, in_integers = (engine(mixture[None] / mixture.std())[0] * mixture.std() for engine in engines)
        for stem, before, after in zip(stems, plain, in_integers, strict=True):
            assert abs(selection._snr_db(after, stem) - selection._snr_db(before, stem)) < 0.02
