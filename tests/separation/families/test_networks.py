"""Each family's network against a plain whole-song implementation, in batches, from checkpoints, in half precision."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from msaas.catalogue import catalogue
from msaas.errors import Cancelled, ModelUnavailable
from msaas.separation.engines.engine import TorchEngine
from msaas.separation.engines.parallel import ParallelSegments
from msaas.separation.engines.selection import MIN_SNR_DB, EngineChoice, choose_engine
from msaas.separation.families.load import from_family
from msaas.separation.families.networks import build_network
from msaas.separation.interrupt import interruptible
from msaas.separation.weights.loader import fetch, load_model
from tests.support.models.families import REAL, SMALL, dumped, seeded_network, write_config, write_model
from tests.support.models.msst import demix

FULL_SCALE_ERROR = 1e-4
CPU = torch.device("cpu")


class Counting:
    """An engine that notes the sizes of its batches."""

    def __init__(self, engine) -> None:
        self.engine, self.sizes = engine, []

    def forward(self, batch):
        self.sizes.append(len(batch))
        return self.engine.forward(batch)


class FailsUnderAutocast(torch.nn.Module):
    """As oneDNN fails for a bfloat16 LSTM on a processor that has no more than AVX2."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.samplerate = network, network.samplerate
        self.audio_channels, self.check_samples = network.audio_channels, network.check_samples

    def forward(self, batch):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")
        return self.network(batch)


def outputs_of(model, stems: np.ndarray) -> np.ndarray:
    """The stems that are outputs of the network."""
    return stems[[not output.rest for output in model.networks[0].outputs]]


@pytest.mark.parametrize("family", SMALL)
def test_each_family_gives_what_the_definition_gives(family, small_models, kit, stream) -> None:
    model = small_models[family]
    for seconds in (0.2, 0.9, 2.3):
        wav = kit.noise(int(seconds * kit.RATE))
        want = demix(model.networks[0].module, wav, SMALL[family])
        got = outputs_of(model, stream(model, wav))
        defined = ~np.isnan(want)
        assert np.abs(want[defined]).max() > 1e-3
        assert np.abs(got - want)[defined].max() <= FULL_SCALE_ERROR


@pytest.mark.parametrize(
    ("family", "published"),
    [
        ("scnet", "scnet_small"),
        ("bs_roformer", "bs_roformer_viperx"),
        ("mel_band_roformer", "mel_band_roformer_kim"),
        ("mdx23c", "mdx23c_4stem"),
    ],
)
def test_a_network_has_the_size_of_its_published_checkpoint(family, published, tmp_path) -> None:
    config = write_config(REAL[family], tmp_path / "model.yaml")
    with torch.device("meta"):
        state = build_network(config).network.state_dict()
    (weights,) = catalogue().get(published).weights
    assert sum(4 * tensor.numel() for tensor in state.values()) == pytest.approx(weights.bytes, rel=0.01)


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("samples", [1, 2, 500])
def test_a_song_of_a_few_samples_is_separated(family, samples, small_models, kit, stream) -> None:
    model = small_models[family]
    stems = stream(model, kit.noise(samples))
    assert stems.shape == (len(model.sources), 2, samples)
    assert np.isfinite(stems).all()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", REAL)
def test_each_family_at_its_real_configuration_gives_what_the_definition_gives(family, tmp_path, kit, stream) -> None:
    """Two chunks of half a second: at the configuration's own a song takes minutes."""
    chunk = {"mdx23c": 31 * 1024}.get(family, 22_050)
    content = {**REAL[family], "audio": {**REAL[family]["audio"], "chunk_size": chunk}}
    content["inference"] = {**content["inference"], "num_overlap": 2}
    config = write_config(content, tmp_path / "real.yaml")
    model = from_family("real", config, seeded_network(config))
    wav = kit.noise(int(0.8 * chunk))
    want = demix(model.networks[0].module, wav, content)
    assert np.abs(want).max() > 1e-3
    assert np.abs(outputs_of(model, stream(model, wav)) - want).max() <= FULL_SCALE_ERROR


@pytest.mark.parametrize("family", SMALL)
def test_chunks_give_the_same_in_batches_of_any_size_and_order(family, small_models, kit) -> None:
    network = small_models[family].networks[0]
    chunks = [kit.noise(network.segment_samples, seed) for seed in range(8)]
    engine = TorchEngine(network.module, CPU)
    alone = [engine.forward(torch.from_numpy(chunk)[None])[0] for chunk in chunks]
    for size in (2, 5, 8):
        for order in (list(range(size)), list(range(size))[::-1]):
            together = engine.forward(torch.from_numpy(np.stack([chunks[index] for index in order])))
            for index, output in zip(order, together, strict=True):
                assert float((output - alone[index]).abs().max()) <= 1e-5, (size, index)


@pytest.mark.parametrize("family", SMALL)
def test_songs_give_the_same_in_any_order_and_batch(family, small_models, kit, stream) -> None:
    model = small_models[family]
    songs = [kit.noise(samples, samples) for samples in (3000, 40_000, 61_234)]
    engines = [ParallelSegments(TorchEngine(model.networks[0].module, CPU), 2)]
    first = [stream(model, song) for song in songs]
    again = [stream(model, song, engines, batch=3) for song in songs[::-1]][::-1]
    assert max(float(np.abs(one - two).max()) for one, two in zip(first, again, strict=True)) <= 1e-5


def test_roformers_and_mdx23c_run_one_chunk_at_a_time(small_models, kit, stream) -> None:
    seen: dict[str, list[int]] = {}
    for family, model in small_models.items():
        counting = Counting(TorchEngine(model.networks[0].module, CPU))
        stream(model, kit.noise(66_150), [counting], batch=4)
        seen[family] = counting.sizes
    assert {family: max(sizes) for family, sizes in seen.items()} == {
        "scnet": 4,
        "bs_roformer": 1,
        "mel_band_roformer": 1,
        "mdx23c": 1,
    }


def test_one_target_gives_two_stems_that_add_up(small_models, kit, stream) -> None:
    model, wav = small_models["bs_roformer"], kit.noise(50_000)
    assert model.sources == ("vocals", "other")
    assert np.abs(stream(model, wav).sum(0) - wav).max() <= 1e-6


@pytest.mark.parametrize("family", SMALL)
def test_a_forward_is_interrupted_between_its_layers(family, small_models) -> None:
    network, asked = small_models[family].networks[0], []
    engine, batch = TorchEngine(network.module, CPU), torch.zeros(1, 2, network.segment_samples)
    with interruptible(lambda: asked.append(1) or len(asked) > 5), pytest.raises(Cancelled):
        engine.forward(batch)


@pytest.mark.parametrize("family", SMALL)
def test_half_precision_is_compared_with_float32_and_used_only_where_it_agrees(family, small_models) -> None:
    ticks = iter(range(0, 10**6))
    engine, choice = choose_engine(small_models[family].networks[0], CPU, bf16=lambda: True, clock=lambda: next(ticks))
    assert choice.precision == "fp32"  # equally fast: float32 comes first
    waits = iter([0.0, 5.0, 5.0, 6.0])  # float32 takes five seconds, bfloat16 one
    engine, choice = choose_engine(small_models[family].networks[0], CPU, bf16=lambda: True, clock=lambda: next(waits))
    agrees = choice.snr_db is not None and choice.snr_db >= MIN_SNR_DB
    assert choice.precision == "fp32" or agrees
    samples = small_models[family].networks[0].segment_samples
    output = engine.forward(torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0)))
    assert output.dtype is torch.float32
    assert output.isfinite().all()


def test_float32_is_not_checked_at_all(small_models) -> None:
    _, choice = choose_engine(small_models["scnet"].networks[0], CPU, "fp32", clock=lambda: 1 / 0)
    assert choice == EngineChoice("module", "fp32", None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rotary_positions_are_exact_in_half_precision(dtype, small_models) -> None:
    module = small_models["bs_roformer"].networks[0].module
    rotary = next(part for part in module.modules() if type(part).__name__ == "RotaryEmbedding")
    cosines, _ = rotary._pymss_cos_sin_cache.get((801, "cpu", None, dtype))
    want = torch.cos(torch.arange(801).double()[:, None] * rotary.freqs.double())
    assert float((cosines[0, :, 0].double() - want).abs().max()) <= 2**-8  # one rounding of bfloat16


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pth"])
@pytest.mark.parametrize("family", SMALL)
def test_a_checkpoint_in_the_model_folder_is_loaded(family, suffix, tmp_path, kit, stream) -> None:
    config = write_config(SMALL[family], tmp_path / "mine" / "mine.yaml")
    network = seeded_network(config, seed=5)
    state, path = network.network.state_dict(), tmp_path / "mine" / f"mine{suffix}"
    state = {name: tensor.clone() for name, tensor in state.items()}
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    model = load_model("mine", repo=tmp_path, sources=[])
    assert model.sources == config.sources
    assert (model.sample_rate, model.channels, model.segment_samples) == (44_100, 2, config.chunk_samples)
    wav = kit.noise(10_000)
    assert np.array_equal(stream(model, wav), stream(from_family("mine", config, network), wav))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state},
        lambda state: {"epoch": 3, "model_state_dict": state, "best_metric": 1.5},
        lambda state: {"state_dict": {"model": {f"module.{name}": value for name, value in state.items()}}},
        lambda state: {"state": {f"model.{name}": value for name, value in state.items()}},
        lambda state: {name: value.half() for name, value in state.items()},
    ],
)
def test_wrappers_and_prefixes_of_trainers_are_taken_off(wrap, tmp_path) -> None:
    write_model(tmp_path, "mine", SMALL["scnet"])
    path = tmp_path / "mine" / "mine.ckpt"
    state = torch.load(path, weights_only=True)
    torch.save(wrap(state), path)
    loaded = load_model("mine", repo=tmp_path, sources=[]).networks[0].module.network.state_dict()
    assert all(torch.allclose(loaded[name], state[name], atol=1e-3) for name in state)


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".pt", ".th"])
def test_a_checkpoint_that_would_run_code_is_refused(suffix, tmp_path) -> None:
    write_config(SMALL["scnet"], tmp_path / "mine" / "mine.yaml")
    path = tmp_path / "mine" / f"mine{suffix}"
    for save in (torch.save, lambda what, where: where.write_bytes(pickle.dumps(what))):
        save({"state_dict": Runs(tmp_path / "ran")}, path)
        with pytest.raises(ModelUnavailable, match=r"mine\.\w+ (was not loaded: .* could run code|cannot be read)"):
            load_model("mine", repo=tmp_path, sources=[])
        assert not (tmp_path / "ran").exists()


def test_weights_that_do_not_fit_are_named(tmp_path) -> None:
    write_model(tmp_path, "mine", SMALL["scnet"])
    path = tmp_path / "mine" / "mine.ckpt"
    state = torch.load(path, weights_only=True)
    gone, *_, reshaped = state
    state.pop(gone)
    torch.save({**state, "extra": torch.zeros(1), reshaped: torch.zeros(7)}, path)
    with pytest.raises(ModelUnavailable) as error:
        load_model("mine", repo=tmp_path, sources=[])
    message = str(error.value)
    assert f"it lacks {gone}; it has the unknown extra; it has another shape of {reshaped} ([7] instead of" in message


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_file_that_is_no_checkpoint_is_named(content, suffix, tmp_path) -> None:
    write_config(SMALL["scnet"], tmp_path / "mine" / "mine.yaml")
    (tmp_path / "mine" / f"mine{suffix}").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=rf"mine\{suffix} (cannot be read|was not loaded|has no state dict)"):
        load_model("mine", repo=tmp_path, sources=[])


@pytest.mark.parametrize(
    ("family", "section", "change", "message"),
    [
        ("scnet", "audio", {"chunk_size": None}, "audio.chunk_size must be a whole number above 0, not None"),
        ("scnet", "inference", {"num_overlap": 0}, "inference.num_overlap must be a whole number above 0, not 0"),
        ("scnet", "inference", {"chunk_size": 264_600_000_000}, "inference.chunk_size is 264600000000; .* most 120 s"),
        ("scnet", "audio", {"chunk_size": 120 * 44_100 + 1}, "audio.chunk_size is 5292001; .*, 5292000 samples"),
        ("scnet", "audio", {"sample_rate": 10**12}, "audio.sample_rate is 1000000000000; the most is 384000 Hz"),
        ("scnet", "training", {"instruments": []}, "training.instruments must be a list of names"),
        ("scnet", "training", {"instruments": ["A", "a"]}, "has a name twice: a, a"),
        ("scnet", "training", {"instruments": ["a", "b"]}, "has 4 outputs, but .* name a, b"),
        ("scnet", "training", {"instruments": ["a", "é"]}, "cannot be a stem's name"),
        ("scnet", "model", {"colour": 1}, "does not describe a network of the family scnet: TypeError"),
        ("mel_band_roformer", "model", {"num_stems": 3}, "has 3 outputs"),
        ("mdx23c", "audio", {"chunk_size": 1000}, "the chunk_size 1000 must be 512 times a multiple of 4, less one"),
        ("mdx23c", "audio", {"num_channels": 1}, "two channels"),
    ],
)
def test_a_wrong_setting_is_named(family, section, change, message, tmp_path) -> None:
    content = {**SMALL[family], section: {**SMALL[family][section], **change}}
    write_model(tmp_path, "mine", SMALL[family])
    path = tmp_path / "mine" / "mine.yaml"
    path.write_text(dumped(content))
    with pytest.raises(ModelUnavailable, match=rf"mine\.yaml.*{message}"):
        load_model("mine", repo=tmp_path, sources=[])


def test_names_of_instruments_become_stem_names(tmp_path) -> None:
    content = {**SMALL["scnet"], "training": {"instruments": ["Kick", "Hi-Hat", "Lead Vocals", "rest"]}}
    assert write_config(content, tmp_path / "a.yaml").sources == ("kick", "hi_hat", "lead_vocals", "rest")
    for instruments, target, sources in (
        (["Vocals", "Instrumental"], "Vocals", ("vocals", "instrumental")),
        (["drums", "bass", "other", "vocals"], "bass", ("bass", "no_bass")),
        (["dry"], None, ("dry", "no_dry")),
    ):
        training = {"instruments": instruments, "target_instrument": target}
        assert write_config({**content, "training": training}, tmp_path / "a.yaml").sources == sources


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch) -> None:
    write_model(tmp_path, "mine", SMALL["scnet"])
    monkeypatch.setitem(sys.modules, "pymss_core", None)
    with pytest.raises(ModelUnavailable, match=r"scnet need the package pymss-core: pip install 'msaas\[models\]'"):
        load_model("mine", repo=tmp_path, sources=[])


def test_a_model_of_a_family_is_fetched_into_a_folder(tmp_path) -> None:
    write_model(tmp_path / "own", "mine", SMALL["mel_band_roformer"])
    fetch("mine", tmp_path / "baked", repo=tmp_path / "own", sources=[])
    assert sorted(path.suffix for path in (tmp_path / "baked" / "mine").iterdir()) == [".ckpt", ".yaml"]
    assert load_model("mine", repo=tmp_path / "baked", sources=[]).sources == ("vocals", "other")


def test_the_length_of_the_check_is_one_that_the_network_takes(small_models) -> None:
    for model in small_models.values():
        module = model.networks[0].module
        output = TorchEngine(module, CPU).forward(torch.zeros(1, 2, module.check_samples))
        assert output.shape[-1] == module.check_samples
        assert math.isfinite(float(output.sum()))


def test_a_type_that_the_processor_cannot_compute_is_not_used(small_models) -> None:
    network = small_models["mdx23c"].networks[0]
    float32_only = FailsUnderAutocast(network.module)
    engine, choice = choose_engine(replace(network, module=float32_only), CPU, bf16=lambda: True)
    assert choice.precision == "fp32"
    assert engine.forward(torch.zeros(1, 2, network.segment_samples)).isfinite().all()
