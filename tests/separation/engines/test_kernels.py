"""Every kernel computes what torch's public operations do, and a private one that fails is not used."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines import selection
from msaas.separation.engines.compiled.library import library
from msaas.separation.engines.htdemucs import ChannelsLast, fastest
from msaas.separation.engines.htdemucs.fastest import fastest_kernels
from msaas.separation.engines.htdemucs.kernels import Kernels, Packed, composed_attention, fused_attention
from msaas.separation.engines.selection import EngineChoice, choose_engine, engine_of
from msaas.separation.model import from_demucs

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]
SEGMENT = 44_100
NAMES = tuple(asdict(Kernels()))
MAKES = {
    "htdemucs, but smaller": {"t_layers": 5, "bottom_channels": 32, "dconv_mode": 3},
    "norms in convolutions": {"norm_starts": 1},
    "rectified": {"t_gelu": False},
    "one channel": {"audio_channels": 1, "dconv_mode": 3},
}
# Of the torch that requirements pin. Another release may change a private operation without notice: look at
# aten/src/ATen/native/mkldnn/Linear.cpp (mkldnn_linear_pointwise, mkldnn_linear_pointwise_binary) and
# aten/src/ATen/native/mkldnn/RegisterMkldnnOpContextClass.cpp (the schemas), and for 8-bit integers at
# aten/src/ATen/native/quantized/cpu/qlinear.cpp and its library.cpp, then update the texts here.
CHECKED_TORCH = "2.13"
SCHEMAS = {
    "mkldnn::_linear_pointwise": "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, "
    "Scalar?[] scalars, str? algorithm) -> Tensor Y",
    "mkldnn::_linear_pointwise.binary": "mkldnn::_linear_pointwise.binary(Tensor X, Tensor other, Tensor W, "
    "Tensor? B, str attr) -> Tensor Y",
    "mkldnn::_reorder_linear_weight": "mkldnn::_reorder_linear_weight(Tensor self, int? batch_size=None) -> Tensor Y",
    "onednn::qlinear_prepack": "onednn::qlinear_prepack(Tensor weight, int[]? x_shape) -> Tensor",
    "onednn::qlinear_pointwise": "onednn::qlinear_pointwise(Tensor qx, float x_scale, int x_zero_point, Tensor qw, "
    "Tensor w_scale, Tensor w_zero_point, Tensor? bias, float output_scale, int output_zero_point, "
    "ScalarType? output_dtype, str post_op_name, Scalar?[] post_op_args, str post_op_algorithm) -> Tensor",
}


@pytest.fixture
def network(kit):
    def make(**how) -> HTDemucs:
        kwargs = {"channels": 8, "t_layers": 3, "t_heads": 2, "segment": 1, **how}
        return kit.seeded(lambda: HTDemucs(sources=["a", "b"], **kwargs))

    return make


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def usable(name: str, dtype: torch.dtype) -> bool:
    if name == "compiled":
        return library() is not None
    return name not in ("packed", "fused_gelu", "split_gates") or fastest._is_exact(dtype)


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize("names", [*([name] for name in NAMES), list(NAMES)], ids=lambda names: ",".join(names))
def test_each_kernel_computes_what_the_module_does(names, make, network) -> None:
    used = Kernels.of([name for name in names if usable(name, torch.float32)])
    module, mix = network(**make), noise(2, make.get("audio_channels", 2), SEGMENT)
    with torch.inference_mode():
        want = module(mix)
    got = ChannelsLast(module, CPU, torch.float32, {torch.float32: used})(mix)
    assert (got - want).abs().max() <= selection.FP32_TOLERANCE * want.abs().max()


def test_private_operations_are_those_that_were_read() -> None:
    """Fails with another release of torch: the comment above CHECKED_TORCH says what to look at."""
    pinned = re.search(r"^TORCH \?= torch==(\d+\.\d+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == CHECKED_TORCH
    if torch.backends.mkldnn.is_available() and torch.__version__.startswith(CHECKED_TORCH):
        found = {name: str(torch._C._get_schema(*name.partition(".")[::2])) for name in SCHEMAS}
        assert found == SCHEMAS


def no_operation(*_args: object) -> torch.Tensor:
    raise RuntimeError("bf16 path needs the cpu support avx512bw")


def wrong_operation(x: torch.Tensor, weight: torch.Tensor, *_args: object) -> torch.Tensor:
    return torch.zeros(x.shape[0], 32, dtype=x.dtype)


@pytest.mark.parametrize(
    "operations",
    [
        SimpleNamespace(),
        SimpleNamespace(_reorder_linear_weight=no_operation, _linear_pointwise=no_operation),
        SimpleNamespace(_reorder_linear_weight=lambda weight, _rows: weight, _linear_pointwise=wrong_operation),
    ],
    ids=["missing", "refused", "wrong"],
)
def test_private_operations_that_fail_are_not_used(operations, monkeypatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", operations)
    found = fastest_kernels(torch.float32)
    assert not (found.packed or found.fused_gelu or found.split_gates)


class Speeds:
    """Stands in for oneDNN and for time: the same products, and the seconds that a test says each takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.seconds = 0.0, {"linear": 1.0, "none": 1.0, "gelu": 1.0, "sigmoid": 1.0, "times": 1.0}
        speeds, plain = self, F.linear

        class StandIn:
            def __init__(self, weight, bias, _rows) -> None:
                self.weight, self.bias = weight, bias

            def __call__(self, x, activation="none"):
                speeds.now += speeds.seconds[activation]
                made = plain(x, self.weight, self.bias)
                return {"none": lambda y: y, "gelu": F.gelu, "sigmoid": torch.sigmoid}[activation](made)

            def times(self, x, factor):
                speeds.now += speeds.seconds["times"]
                return plain(x, self.weight, self.bias) * factor

        def linear(*args):
            self.now += self.seconds["linear"]
            return plain(*args)

        monkeypatch.setattr(fastest, "Packed", StandIn)
        monkeypatch.setattr(F, "linear", linear)

    def fastest(self) -> Kernels:
        return fastest_kernels(torch.float32, lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "used"),
    [
        ({}, (False, False, False)),
        ({"none": 0.5}, (True, False, False)),
        ({"none": 0.9, "gelu": 0.5}, (True, True, False)),
        ({"none": 0.9, "gelu": 2}, (True, False, False)),
        ({"sigmoid": 0.4, "times": 0.4}, (False, False, True)),
        ({"sigmoid": 0.5, "times": 0.49}, (False, False, False)),  # a gain within the noise
    ],
)
def test_what_is_faster_is_used(seconds, used, monkeypatch) -> None:
    speeds = Speeds(monkeypatch)
    speeds.seconds |= seconds
    found = speeds.fastest()
    assert (found.packed, found.fused_gelu, found.split_gates) == used


def test_the_measurement_leaves_torchs_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    fastest_kernels(torch.float32)
    assert torch.get_num_threads() == before
    assert fastest_kernels(torch.float16) == Kernels()


def test_composed_attention_is_attention() -> None:
    query, key, value = (noise(2, 3, rows, 16, seed=rows) for rows in (700, 500, 500))
    want = fused_attention(query, key, value)
    assert (composed_attention(query * 16**-0.5, key, value) - want).abs().max() < 1e-5


def test_what_all_keys_share_costs_composed_attention_no_accuracy() -> None:
    query, key, value = (noise(1, 1, 400, 16, seed=seed) for seed in (1, 2, 3))
    want = fused_attention(query, key, value)
    half = [tensor.to(torch.bfloat16) for tensor in (query * 16**-0.5, key + 30, value)]
    assert selection._snr_db(composed_attention(*half).float(), want) > 25


@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_folding_a_norm_costs_no_accuracy_where_its_mean_is_large(mean, network) -> None:
    module, mix = network(t_layers=0, dconv_mode=3), noise(1, 2, SEGMENT)
    for name, parameter in module.named_parameters():
        if re.search(r"dconv\.layers\.\d+\.3\.bias", name):
            parameter.data += mean
    with torch.inference_mode():
        want = module(mix)
    plain, folded = (
        selection._snr_db(ChannelsLast(module, CPU, torch.bfloat16, {torch.bfloat16: used})(mix), want)
        for used in (Kernels(), Kernels(folded_norms=True))
    )
    assert folded > plain - 1


def test_names_are_kernels() -> None:
    assert Kernels.of(list(NAMES)).names() == NAMES
    for wrong in (None, "packed", ["packed", "warp drive"], {"packed": True}, [["packed"]]):
        with pytest.raises(ValueError, match="not a list of kernels"):
            Kernels.of(wrong)


def test_an_earlier_choice_makes_the_same_engine(network) -> None:
    part, mix = from_demucs("tiny", network()).networks[0], noise(1, 2, SEGMENT)
    engine, choice = choose_engine(part, CPU, "fp32")
    assert torch.equal(engine_of(part, CPU, choice).forward(mix), engine.forward(mix))
    with torch.inference_mode():
        own = engine_of(part, CPU, EngineChoice("module", "fp32", None)).forward(mix)
        assert torch.equal(own, part.module(mix))


def test_an_earlier_choice_of_compiled_kernels_needs_them(network, monkeypatch) -> None:
    part = from_demucs("tiny", network()).networks[0]
    choice = EngineChoice("channels_last", "fp32", 100.0, {"fp32": ("compiled",)})
    monkeypatch.setattr(selection, "library", lambda: None)
    with pytest.raises(RuntimeError, match="not installed here"):
        engine_of(part, CPU, choice)


def test_a_packed_layer_takes_any_number_of_rows() -> None:
    if not fastest._is_exact(torch.float32):  # a torch without oneDNN uses none
        return
    weight, bias = noise(32, 24), noise(32, seed=2)
    layer = Packed(weight, bias, 40)
    for rows in (1, 7, 40, 1000):
        x = noise(rows, 24)
        assert (layer(x) - F.linear(x, weight, bias)).abs().max() < 1e-4
