"""Builds the families' networks: modules of pymss-core behind the interface that Demucs' modules have.

RoFormers and MDX23C run one chunk at a time: a chunk fills the cores and takes gigabytes, and on a GPU RoFormers were
seen to give another result for four chunks together than for one.
pymss-core is the extra `[models]`; it is imported when a network is built. docs/decisions has what was read in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from msaas.errors import ModelUnavailable
from msaas.separation.families.config import FamilyConfig
from msaas.separation.families.precision import keep_float32

EXTRA = "pip install 'msaas[models]'"
# Labels of the architecture, which are not arguments of the network.
_LABELS = ("type", "model_type", "architecture")


class FamilyNetwork(nn.Module):
    """A network of any family: [B, C, n] ▸ [B, outputs, C, n], float32, with the attributes that Demucs' have."""

    def __init__(
        self, network: nn.Module, sample_rate: int, channels: int, check_samples: int, max_segments: int | None
    ) -> None:
        """check_samples: a length that the network takes, long enough to compare types of numbers with.
        max_segments: as in `Network`."""
        super().__init__()
        self.network = network
        self.samplerate = sample_rate
        self.audio_channels = channels
        self.check_samples = check_samples
        self.max_segments = max_segments

    def forward(self, batch: Tensor) -> Tensor:
        output: Tensor = self.network(batch).float()
        if output.ndim == 3:  # of one output only
            output = output[:, None]
        # An inverse transform gives whole hops.
        return functional.pad(output, (0, batch.shape[-1] - output.shape[-1]))


def build_network(config: FamilyConfig, *, prepare: Callable[[nn.Module], None] = keep_float32) -> FamilyNetwork:
    """The network of a configuration, with random weights. Raises ModelUnavailable if it cannot be built.

    prepare: changes pymss-core's module before its first use.
    """
    try:
        import_module("pymss_core")
    except ImportError as error:
        raise ModelUnavailable(
            f"{config.path}: networks of the family {config.family} need the package pymss-core: {EXTRA}"
        ) from error
    build = _BUILDERS[config.family]
    try:
        network, outputs, channels = build(config)
    except ModelUnavailable:
        raise
    except Exception as error:  # the constructors check little, and raise all kinds
        raise ModelUnavailable(
            f"{config.path} does not describe a network of the family {config.family}: {type(error).__name__}: {error}"
        ) from error
    if outputs != len(config.instruments):
        raise ModelUnavailable(
            f"{config.path}: the network has {outputs} outputs, but training.instruments and target_instrument name "
            f"{', '.join(config.instruments)}"
        )
    prepare(network)
    check_samples = _check_samples(config, network)
    max_segments = None if config.family == "scnet" else 1
    return FamilyNetwork(network, config.sample_rate, channels, check_samples, max_segments).eval()


def _check_samples(config: FamilyConfig, network: Any) -> int:
    """About three quarters of a second, or the least that the network takes."""
    if config.family != "mdx23c":
        return min(config.chunk_samples, config.sample_rate * 3 // 4)
    return int(config.content["audio"]["hop_length"] * (_frames(network) - 1))


def _frames(network: Any) -> int:
    """The number of frames that an MDX23C halves to one."""
    return int(network.mdx_scale[0] ** len(network.encoder_blocks))


def _scnet(config: FamilyConfig) -> tuple[nn.Module, int, int]:
    from pymss_core.modules.scnet import SCNet

    # SCNet's own spectrogram has no window.
    warnings.filterwarnings("ignore", message="A window was not provided")
    network = SCNet(**_arguments(config))
    return network, len(network.sources), int(network.audio_channels)


def _bs_roformer(config: FamilyConfig) -> tuple[nn.Module, int, int]:
    from pymss_core.modules.bs_roformer import BSRoformer

    network = BSRoformer(**_arguments(config))
    return network, int(network.num_stems), int(network.audio_channels)


def _mel_band_roformer(config: FamilyConfig) -> tuple[nn.Module, int, int]:
    from pymss_core.modules.bs_roformer import MelBandRoformer

    arguments = _arguments(config)
    # MSST's Mel-Band RoFormer has one hidden layer more than its BS-RoFormer of the same depth.
    arguments.setdefault("mlp_hidden_layers", arguments.get("mask_estimator_depth", 1))
    network = MelBandRoformer(**arguments)
    return network, int(network.num_stems), int(network.audio_channels)


def _mdx23c(config: FamilyConfig) -> tuple[nn.Module, int, int]:
    from pymss_core.config import to_attrdict
    from pymss_core.modules.mdx23c_tfc_tdf_v3 import TFC_TDF_net

    network = TFC_TDF_net(to_attrdict(config.content))
    if config.content["audio"]["num_channels"] != 2:
        raise ModelUnavailable(f"{config.path}: a network of the family mdx23c has two channels")
    _refuse_chunk(config, config.content["audio"]["hop_length"], _frames(network))
    return network, int(network.num_target_instruments), 2


def _refuse_chunk(config: FamilyConfig, hop: int, frames: int) -> None:
    """The network halves the number of frames several times and doubles it again."""
    if config.chunk_samples % hop or (config.chunk_samples // hop + 1) % frames:
        raise ModelUnavailable(
            f"{config.path}: the chunk_size {config.chunk_samples} must be {hop} times a multiple of {frames}, less one"
        )


def _arguments(config: FamilyConfig) -> dict[str, Any]:
    return {key: value for key, value in config.content["model"].items() if key not in _LABELS}


_BUILDERS: Mapping[str, Callable[[FamilyConfig], tuple[nn.Module, int, int]]] = {
    "bs_roformer": _bs_roformer,
    "mdx23c": _mdx23c,
    "mel_band_roformer": _mel_band_roformer,
    "scnet": _scnet,
}
