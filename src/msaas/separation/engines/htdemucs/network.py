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
        weights_by_layer = [weights] * (len(module.decoder) - 1) + [outermost]
        self._decoders = [
            (Decoder(f, w), Decoder(t, w)) for f, t, w in _zip(module.decoder, module.tdecoder, weights_by_layer)
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
        spectrogram = self._module._spec(mix)
        x, xt = self._forward(spectrogram, mix)
        waves = torch.unflatten(xt[:, 0], -1, (len(self._module.sources), -1)).permute(0, 2, 3, 1).contiguous()
        for source, parts in enumerate(x.chunk(waves.shape[1], dim=-1)):  # all at once would take four times the memory
            check()
            waves[:, source] += self._module._ispec(self._spectrogram_of(spectrogram, parts), mix.shape[-1])
        return waves[..., :samples]

    def _image(self, spectrogram: Tensor) -> Tensor:
        """[B, C, F, T] complex ▸ [B, F, T, C'], float32: magnitudes, or real and imaginary parts as channels."""
        if not self._module.cac:
            return spectrogram.abs().permute(0, 2, 3, 1)
        return torch.view_as_real(spectrogram).permute(0, 2, 3, 1, 4).flatten(3)

    def _spectrogram_of(self, mixture: Tensor, x: Tensor) -> Tensor:
        """The spectrogram of one source, [B, F, T, C'] ▸ [B, C, F, T] complex."""
        if self._module.cac:
            return torch.view_as_complex(torch.unflatten(x, -1, (-1, 2)).permute(0, 3, 1, 2, 4).contiguous())
        masked: Tensor = self._module._mask(mixture, x.permute(0, 3, 1, 2)[:, None])
        return masked[:, 0]

    def _forward(self, spectrogram: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, F, T] complex, [B, C, samples] ▸ [B, F, T, S · C'], [B, 1, samples, S · C], both float32."""
        x, level = _normalized(self._image(spectrogram), self._dtype)
        xt, level_t = _normalized(mix.transpose(1, 2)[:, None], self._dtype)
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
        return _restored(x.float(), level), _restored(xt.float(), level_t)

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


def _normalized(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The items with mean and deviation removed, in `dtype`; and (deviation, mean)."""
    dims = tuple(range(1, x.ndim))
    std, mean = torch.std_mean(x, dims, keepdim=True)
    return (x - mean).div_(1e-5 + std).to(dtype).contiguous(), (std, mean)


def _restored(x: Tensor, level: tuple[Tensor, Tensor]) -> Tensor:
    """Restores deviation and mean, in place."""
    std, mean = level
    return x.mul_(std).add_(mean)
