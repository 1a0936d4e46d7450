"""HTDemucs channels last says what the module says, whatever it is made of; and what is chosen was checked."""

from __future__ import annotations

import random

import pytest
import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from msaas.separation.engines import selection
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.engines.htdemucs import ChannelsLast, Unsupported, layers
from msaas.separation.engines.htdemucs.common import Norm
from msaas.separation.engines.htdemucs.kernels import Kernels
from msaas.separation.engines.htdemucs.norms import group_norm_in_two_stages
from msaas.separation.engines.parallel import ParallelSegments
from msaas.separation.engines.selection import EngineChoice, choose_engine
from msaas.separation.model import from_demucs

CPU = torch.device("cpu")
SEGMENT = 44_100
SOURCES = ["drums", "bass", "other", "vocals"]

MAKES = {
    "htdemucs, but smaller": {"t_layers": 5, "bottom_channels": 32, "dconv_mode": 3},
    "magnitudes": {"cac": False, "wiener_iters": -1, "end_iters": -1},
    "wide strides": {"depth": 3, "kernel_size": 16, "stride": 8},
    "no transformer": {"t_layers": 0, "growth": 1.5},
    "norms in convolutions": {"norm_starts": 1},
    "group norms, on entry too": {"t_group_norm": 1, "t_norm_in_group": 1, "t_norm_in": False},
    "no norm on leaving": {"t_norm_out": False, "t_layer_scale": False},
    "crossing first": {"t_cross_first": True, "t_layers": 2},
    "learnt positions": {"t_emb": "scaled", "t_max_positions": 4096},
    "relative positions": {"t_emb": "cape"},
    "rectified": {"t_gelu": False},
    "no frequency embedding": {"freq_emb": 0},
    "any length": {"use_train_segment": False},
}
NOT_MADE_AGAIN = {
    "bands of their own": {"multi_freqs": [0.5], "multi_freqs_depth": 1},
    "wiener filtering": {"cac": False, "wiener_iters": 1, "end_iters": 1},
    "norms last": {"t_norm_first": False, "t_norm_out": False},
    "random positions": {"t_sin_random_shift": 100},
    "context on the way down": {"context_enc": 1},
    "no gates": {"rewrite": False},
}


@pytest.fixture
def network(kit):
    def make(**how) -> HTDemucs:
        kwargs = {"channels": 8, "t_layers": 3, "t_heads": 2, "segment": 1, **how}
        return kit.seeded(lambda: HTDemucs(sources=SOURCES, **kwargs))

    return make


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(1, 2, SEGMENT), (3, 2, 30_001)], ids=["one", "three, shorter"])
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_it_says_what_the_module_says(make, shape, network) -> None:
    module, mix = network(**make), noise(*shape)
    with torch.inference_mode():
        want = module(mix)
    before = mix.clone()
    got = ChannelsLast(module, CPU)(mix)
    assert got.shape == want.shape
    assert (got - want).abs().max() <= selection.FP32_TOLERANCE * want.abs().max()
    assert torch.equal(mix, before)
    assert torch.equal(ChannelsLast(module, CPU)(mix), got)  # nothing of the first call lives on


@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("bands", [1, 3, 1000])
def test_however_small_the_portions_it_says_the_same(bands, context, network, monkeypatch) -> None:
    module, mix = network(context=context), noise(1, 2, SEGMENT)
    with torch.inference_mode():
        want = module(mix)
    monkeypatch.setattr(layers, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr(layers, "CONVOLUTION_BYTES", bands * 16 * 44 * 4)  # of so many outermost bands
    got = ChannelsLast(module, CPU)(mix)
    assert (got - want).abs().max() <= selection.FP32_TOLERANCE * want.abs().max()


@pytest.mark.parametrize("make", NOT_MADE_AGAIN.values(), ids=NOT_MADE_AGAIN)
def test_what_is_not_made_again_runs_as_it_is(make, network) -> None:
    part = from_demucs("odd", network(**make)).networks[0]
    with pytest.raises(Unsupported):
        ChannelsLast(part.module, CPU)
    engine, way = choose_engine(part, CPU)
    assert way == EngineChoice("module", "fp32", None)
    mix = noise(1, 2, SEGMENT)
    random.seed(0)  # of the random positions
    got = engine.forward(mix)
    random.seed(0)
    with torch.inference_mode():
        assert torch.equal(got, part.module(mix))


def test_another_network_runs_as_it_is(kit) -> None:
    module = kit.seeded(lambda: HDemucs(SOURCES, channels=4, depth=4, segment=2))
    assert choose_engine(from_demucs("hybrid", module).networks[0], CPU)[1].layout == "module"


def test_the_choice_says_how_near_it_came(network) -> None:
    _, way = choose_engine(from_demucs("tiny", network()).networks[0], CPU, "fp32")
    assert (way.layout, way.precision) == ("channels_last", "fp32")
    assert way.snr_db > 90


def test_the_check_takes_a_part_of_a_segment_and_leaves_the_network_as_it_was(network, monkeypatch) -> None:
    seen = []
    heard = ChannelsLast.__call__
    monkeypatch.setattr(ChannelsLast, "__call__", lambda self, mix: seen.append(mix.shape[-1]) or heard(self, mix))
    module = network()
    engine, _ = choose_engine(from_demucs("tiny", module).networks[0], CPU, "fp32")
    assert seen == [SEGMENT // 3]
    assert module.use_train_segment
    assert engine.forward(noise(1, 2, SEGMENT // 2)).shape == (1, 4, 2, SEGMENT // 2)


class Machine:
    """Stands in for the hardware. Parameters: its precisions, the error of each and the time of each.

    All of it is computed by this CPU in float32, whatever the device is called.
    """

    def __init__(self, *, bf16: bool = False) -> None:
        self.bf16 = bf16
        self.kernels = Kernels()  # the fastest
        self.tuned_error = 0.0  # of engines with other kernels than torch's public ones
        self.now = 0.0
        self.error = {"fp32": 0.0, "bf16": 1e-3, "fp16": 1e-3}
        self.seconds = {"fp32": 2.0, "bf16": 1.0, "fp16": 1.0}

    def choose(self, module, wanted="auto", device="cpu") -> EngineChoice:
        part = from_demucs("tiny", module).networks[0]
        return choose_engine(
            part,
            torch.device(device),
            wanted,
            bf16=lambda: self.bf16,
            kernels=lambda _dtype: self.kernels,
            clock=lambda: self.now,
        )[1]

    def engine(self, module, _device, dtype=torch.float32, kernels=None):
        exact, name = ChannelsLast(module, CPU), selection.PRECISIONS[dtype]
        tuned = any(one != Kernels() for one in (kernels or {}).values())

        def run(mix):
            self.now += self.seconds[name]
            return exact(mix) * (1 + self.error[name] + tuned * self.tuned_error)

        return run


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(selection, "ChannelsLast", machine.engine)
    monkeypatch.setattr(selection, "TorchEngine", lambda network, _device: TorchEngine(network, CPU))
    return machine


@pytest.mark.parametrize(
    ("device", "bf16", "wanted", "taken"),
    [
        ("cpu", True, "auto", ("channels_last", "bf16")),
        ("cpu", True, "fp32", ("channels_last", "fp32")),
        ("cpu", False, "auto", ("channels_last", "fp32")),
        ("cpu", False, "fp32", ("channels_last", "fp32")),
        ("cuda", False, "auto", ("channels_last", "fp16")),
        ("cuda", True, "auto", ("channels_last", "fp16")),
        ("cuda", True, "fp32", ("channels_last", "fp32")),
        ("mps", True, "auto", ("module", "fp32")),
    ],
)
def test_half_precision_is_used_where_the_device_has_it(device, bf16, wanted, taken, network, machine) -> None:
    machine.bf16 = bf16
    assert machine.choose(network(), wanted, device)[:2] == taken


@pytest.mark.parametrize(("device", "half"), [("cpu", "bf16"), ("cuda", "fp16")])
@pytest.mark.parametrize(
    ("error", "seconds", "better"),
    [(1e-3, 1.0, True), (9e-3, 1.0, True), (1.1e-2, 1.0, False), (3e-1, 1.0, False), (1e-3, 2.0, False), (0, 3, False)],
)
def test_half_precision_is_used_where_it_is_near_enough_and_faster_than_float32s_two_seconds(
    error, seconds, better, device, half, network, machine
) -> None:
    machine.bf16 = True
    machine.error[half], machine.seconds[half] = error, seconds
    assert machine.choose(network(), device=device).precision == (half if better else "fp32")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_engine_that_strays_is_not_used(device, network, machine, caplog) -> None:
    machine.error = dict.fromkeys(machine.error, 2e-2)
    machine.bf16 = True
    assert machine.choose(network(), device=device) == EngineChoice("module", "fp32", None)
    assert caplog.text.count("not used") == 2


@pytest.fixture
def tf32_flags():
    """Left as they were."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize(
    ("device", "wanted", "layout"),
    [("cuda", "auto", "channels_last"), ("cuda", "fp32", "module"), ("cpu", "fp32", "module")],
)
def test_tf32s_rounding_is_allowed_on_cuda_unless_float32_was_asked_for(
    device, wanted, layout, network, machine, tf32_flags
) -> None:
    machine.error = {"fp32": 7e-4, "fp16": 3e-2}
    assert machine.choose(network(), wanted, device)[:2] == (layout, "fp32")
    assert torch.backends.cudnn.allow_tf32 is (wanted == "auto")


@pytest.mark.parametrize("remembered", [False, True])
def test_a_forward_that_no_check_has_passed_does_without_tf32(remembered, network, machine, tf32_flags) -> None:
    machine.error = {"fp32": 0.5, "fp16": 0.5}
    choice = EngineChoice("module", "fp32", None)
    if remembered:
        selection.engine_of(from_demucs("tiny", network()).networks[0], CPU, choice)
    else:
        assert machine.choose(network(), device="cuda") == choice
    assert not torch.backends.cudnn.allow_tf32


def test_engines_are_compared_with_exact_float32(network, machine, monkeypatch, tf32_flags) -> None:
    allowed = []
    forward = TorchEngine.forward
    monkeypatch.setattr(
        TorchEngine, "forward", lambda self, mix: allowed.append(torch.backends.cudnn.allow_tf32) or forward(self, mix)
    )
    machine.choose(network(), "auto", "cuda")
    assert allowed[0] is False and allowed[1] is True
    assert torch.backends.cudnn.allow_tf32


def test_two_stage_norms_are_those_of_a_card(network, monkeypatch) -> None:
    """The same network with the norms that a card uses."""
    module, mix = network(**MAKES["norms in convolutions"]), noise(2, 2, SEGMENT)
    with torch.inference_mode():
        want = module(mix)
    called = []

    def norm(self, x):
        if not self.groups:
            return x
        called.append(self.groups)
        if self.groups != 1:
            return native(self, x)
        return group_norm_in_two_stages(x, self.weight, self.bias, self.eps)

    native = Norm.__call__
    monkeypatch.setattr(Norm, "__call__", norm)
    got = ChannelsLast(module, CPU)(mix)
    assert 1 in called
    assert (got - want).abs().max() <= selection.FP32_TOLERANCE * want.abs().max()


def test_kernels_that_stray_are_replaced_by_torchs_public_ones(network, machine, caplog) -> None:
    machine.kernels, machine.tuned_error, machine.bf16 = Kernels(packed=True), 3e-2, True
    choice = machine.choose(network())
    assert (choice.precision, choice.kernels) == ("bf16", {})
    assert caplog.text.count("not used") == 2
    machine.tuned_error = 0
    choice = machine.choose(network())
    assert choice.kernels == {"fp32": ("packed",), "bf16": ("packed",)}
    assert choice.as_report()["kernels"] == {"fp32": ["packed"], "bf16": ["packed"]}


def test_where_float32_strays_half_precision_is_judged_by_itself(network, machine) -> None:
    machine.error = {"fp32": 2e-4, "bf16": 5e-3}
    machine.bf16 = True
    assert machine.choose(network()).precision == "bf16"
    machine.bf16 = False
    assert machine.choose(network()).layout == "module"


@pytest.mark.parametrize(
    ("amx", "avx512", "has"), [(True, False, True), (False, True, True), (False, False, False), (None, None, False)]
)
def test_bfloat16_is_known_by_what_torch_says_of_the_cpu(amx, avx512, has, monkeypatch) -> None:
    for name, answer in (("_is_amx_tile_supported", amx), ("_is_avx512_bf16_supported", avx512)):
        monkeypatch.setattr(torch.cpu, name, lambda answer=answer: answer, raising=False)
        if answer is None:  # a torch that has no such function
            monkeypatch.delattr(torch.cpu, name)
    assert selection.has_bf16() is has


def test_the_real_clock_and_the_real_cpu_choose_something_that_was_checked(network) -> None:
    _, way = choose_engine(from_demucs("tiny", network()).networks[0], CPU)
    assert way.precision in ("fp32", "bf16")
    assert way.snr_db is None or way.snr_db >= selection.MIN_SNR_DB


@pytest.mark.parametrize("make", [MAKES["htdemucs, but smaller"], MAKES["magnitudes"]], ids=["complex", "magnitudes"])
def test_in_half_precision_it_is_near(make, network) -> None:
    """Layer scales drawn as large as these are here amplify each rounding; trained ones are smaller."""
    module, mix = network(**make), noise(1, 2, SEGMENT)
    with torch.inference_mode():
        want = module(mix)
    assert selection._snr_db(ChannelsLast(module, CPU, torch.bfloat16)(mix), want) > 30


@pytest.fixture
def torch_threads():
    """Left as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, *(pytest.param(many, marks=pytest.mark.slow) for many in (3, 9))])
def test_segments_side_by_side_come_back_in_order(threads, network, torch_threads) -> None:
    engine, batch = TorchEngine(network(), CPU), noise(5, 2, SEGMENT)
    lanes = ParallelSegments(engine, threads)
    for count in (1, 2, 5):
        got = lanes.forward(batch[:count])
        want = torch.cat([engine.forward(one[None]) for one in batch[:count]])
        assert (got - want).abs().max() < 1e-5


def test_an_error_in_a_lane_is_raised() -> None:
    def fails(batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        ParallelSegments(TorchEngine(fails, CPU), 2).forward(torch.zeros(2, 2, 10))
