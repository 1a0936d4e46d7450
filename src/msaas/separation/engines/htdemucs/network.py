"""HTDemucs from waveform to waveforms: two encoder branches, the transformer, two decoder branches."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's convention

from msaas.separation.engines.htdemucs.common import Unsupported, require
from msaas.separation.engines.htdemucs.kernels import KernelSet
from msaas.separation.engines.htdemucs.layers import Decoder, Encoder
from msaas.separation.engines.htdemucs.products import Linear, Weights
from msaas.separation.engines.htdemucs.spectrograms import image_of, normalized, restored, waves_of
from msaas.separation.engines.htdemucs.transformer import Transformer
from msaas.separation.interrupt import check

__all__ = ["ChannelsLast", "Unsupported"]


class ChannelsLast:
    """Computes the same function as `module`. Shares its weights if their layout and type allow."""

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        kernels: KernelSet = MappingProxyType({}),
    ) -> None:
        """dtype: of everything between the spectrograms, which stay in float32. kernels: by type; those of torch's
        public interface by default. Raises Unsupported.

        With bfloat16 the outermost decoders stay in float32, too: their rounding errors go straight into the stems and
        cost as much fidelity as all others together (docs/performance.md).
        """
        require(type(module) is HTDemucs, f"network {type(module).__name__}")
        assert isinstance(module, HTDemucs)  # noqa: S101
        require(len(module.tencoder) == len(module.encoder), "branches of different depth")
        require(module.cac or module.wiener_iters < 0, "Wiener filtering, which needs all sources at once")
        self._module = module.to(device).eval()
        self._dtype = dtype
        weights = Weights(device, dtype, kernels)
        self._encoders = [(Encoder(f, weights), Encoder(t, weights)) for f, t in _zip(module.encoder, module.tencoder)]
        outermost = weights.in_float32() if dtype is torch.bfloat16 else weights
        gates = weights if weights.kernels.half_gates else outermost
        by_layer = [(weights, weights)] * (len(module.decoder) - 1) + [(outermost, gates)]
        self._decoders = [
            (Decoder(f, *both), Decoder(t, *both)) for f, t, both in _zip(module.decoder, module.tdecoder, by_layer)
        ]
        self._bands: Tensor | None = None  # [F, 1, C], added after the first layer
        if module.freq_emb is not None:
            module.freq_emb.float()
            self._bands = weights(module.freq_emb_scale * module.freq_emb.weight)[:, None]
        self._transformer: Transformer | None = None
        if module.crosstransformer is not None:
            self._transformer = Transformer(module.crosstransformer, weights)
        self._up, self._down = [], []
        if self._transformer is not None and module.bottom_channels:
            self._up = [_pointwise(m, weights) for m in (module.channel_upsampler, module.channel_upsampler_t)]
            self._down = [_pointwise(m, weights) for m in (module.channel_downsampler, module.channel_downsampler_t)]

    @torch.inference_mode()
    def __call__(self, mix: Tensor) -> Tensor:
        """[B, C, samples] ▸ [B, S, C, samples], float32. Input shorter than the training segment is padded, as in
        Demucs."""
        samples = mix.shape[-1]
        if self._module.use_train_segment:
            mix = F.pad(mix, (0, self._module.valid_length(samples) - samples))
        if self._module.cac:
            image, level = image_of(self._module._spec(mix), self._dtype)
            x, xt = self._forward(image, mix)
            waves = waves_of(x, level, mix.shape[-1])
        else:
            spectrogram = self._module._spec(mix)
            image, level = normalized(spectrogram.abs().permute(0, 2, 3, 1))
            x, xt = self._forward(image.to(self._dtype).contiguous(), mix)
            waves = self._masked(spectrogram, restored(x, level), mix.shape[-1])
        check()
        waves += xt[:, 0].transpose(1, 2)
        return torch.unflatten(waves[..., :samples], 1, (len(self._module.sources), -1))

    def _masked(self, mixture: Tensor, magnitudes: Tensor, samples: int) -> Tensor:
        """The mixture's spectrogram with the magnitudes of each source, [B, F, T, S · C] ▸ [B, S · C, samples]."""
        waves = []
        for parts in magnitudes.chunk(len(self._module.sources), dim=-1):  # all at once would take more memory
            check()
            spectrogram = self._module._mask(mixture, parts.permute(0, 3, 1, 2)[:, None])[:, 0]
            waves.append(self._module._ispec(spectrogram, samples))
        return torch.cat(waves, 1)

    def _forward(self, x: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """[B, F, T, C'], [B, C, samples] ▸ [B, F, T, S · C'], normalised as x, and [B, 1, samples, S · C]; float32."""
        xt, level_t = normalized(mix[:, None])
        xt = xt.to(self._dtype).transpose(2, 3).contiguous()
        skips: list[tuple[Tensor, Tensor, int]] = []
        for index, (encode, encode_t) in enumerate(self._encoders):
            length = xt.shape[2]
            check()
            x = encode(x)
            check()
            xt = encode_t(xt)
            if index == 0 and self._bands is not None:
                x += self._bands
            skips.append((x, xt, length))
        if self._transformer is not None:
            x, xt = self._transformed(x, xt)
        else:
            x, xt = x.clone(), xt.clone()  # skips are added in place, and these tensors are skips too
        for decode, decode_t in self._decoders:
            check()
            skip, skip_t, length = skips.pop()
            x += skip
            xt += skip_t
            del skip, skip_t  # as large as the next result
            xt = decode_t(xt, length)  # first, to save memory: the other branch is larger once decoded
            check()
            x = decode(x, 0)
        return x.float(), restored(xt.float(), level_t)

    def _transformed(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        assert self._transformer is not None  # noqa: S101
        bands = x.shape[1]
        tokens, tokens_t = x.transpose(1, 2).flatten(1, 2), xt[:, 0]
        if self._up:
            tokens, tokens_t = self._up[0](tokens), self._up[1](tokens_t)
        tokens, tokens_t = (side.to(self._dtype) for side in self._transformer(tokens, tokens_t, bands))
        if self._down:
            tokens, tokens_t = self._down[0](tokens), self._down[1](tokens_t)
        return torch.unflatten(tokens, 1, (-1, bands)).transpose(1, 2).contiguous(), tokens_t[:, None]


_zip = partial(zip, strict=True)


def _pointwise(conv: Any, weights: Weights) -> Linear:
    return weights.linear(conv.weight[:, :, 0], conv.bias)
