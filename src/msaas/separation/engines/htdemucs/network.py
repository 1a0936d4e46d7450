"""HTDemucs from waveform to waveforms: two branches down, the transformer, two branches up."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all of torch's world writes it

from msaas.separation.engines.htdemucs.layers import Decoder, Encoder, Unsupported, Weights, require
from msaas.separation.engines.htdemucs.transformer import Transformer
from msaas.separation.interrupt import check

__all__ = ["ChannelsLast", "Unsupported"]


class ChannelsLast:
    """Computes what `module` computes. Shares its weights where their layout and type allow."""

    def __init__(self, module: nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """dtype: of everything between the spectrograms, which stay in float32. Raises Unsupported.

        Beside bfloat16 the outermost decoders stay in float32, too: what they round goes straight into the stems, and
        costs as much fidelity as all the rest (docs/performance.md).
        """
        require(type(module) is HTDemucs, f"network {type(module).__name__}")
        assert isinstance(module, HTDemucs)  # noqa: S101
        require(len(module.tencoder) == len(module.encoder), "branches of different depth")
        require(module.cac or module.wiener_iters < 0, "Wiener filtering, which looks at all sources at once")
        self._module = module.to(device).eval()
        self._dtype = dtype
        weights = Weights(device, dtype)
        self._encoders = [(Encoder(f, weights), Encoder(t, weights)) for f, t in _zip(module.encoder, module.tencoder)]
        outermost = weights.in_float32() if dtype is torch.bfloat16 else weights
        ways = [weights] * (len(module.decoder) - 1) + [outermost]
        self._decoders = [(Decoder(f, w), Decoder(t, w)) for f, t, w in _zip(module.decoder, module.tdecoder, ways)]
        self._bands: Tensor | None = None  # [F, 1, C], added after the first layer
        if module.freq_emb is not None:
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
        """[B, C, samples] ▸ [B, S, C, samples], float32. Shorter than the training segment is padded, as in Demucs."""
        samples = mix.shape[-1]
        if self._module.use_train_segment:
            mix = F.pad(mix, (0, self._module.valid_length(samples) - samples))
        spectrogram = self._module._spec(mix)
        x, xt = self._through(spectrogram, mix)
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
        """One source's, [B, F, T, C'] ▸ [B, C, F, T] complex."""
        if self._module.cac:
            return torch.view_as_complex(torch.unflatten(x, -1, (-1, 2)).permute(0, 3, 1, 2, 4).contiguous())
        masked: Tensor = self._module._mask(mixture, x.permute(0, 3, 1, 2)[:, None])
        return masked[:, 0]

    def _through(self, spectrogram: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, F, T] complex, [B, C, samples] ▸ [B, F, T, S · C'], [B, 1, samples, S · C], both float32."""
        x, level = _levelled(self._image(spectrogram), self._dtype)
        xt, level_t = _levelled(mix.transpose(1, 2)[:, None], self._dtype)
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
            x, xt = self._attended(x, xt)
        else:
            x, xt = x.clone(), xt.clone()  # skips are added to them in place, and these are skips too
        for decode, decode_t in self._decoders:
            check()
            skip, skip_t, length = skips.pop()
            x += skip
            xt += skip_t
            del skip, skip_t  # as large as what is made next
            xt = decode_t(xt, length)  # first, for the memory: the other branch is the larger once it is decoded
            check()
            x = decode(x, 0)
        return _put_back(x.float(), level), _put_back(xt.float(), level_t)

    def _attended(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        assert self._transformer is not None  # noqa: S101
        bands = x.shape[1]
        tokens, tokens_t = x.transpose(1, 2).flatten(1, 2), xt[:, 0]
        if self._up:
            tokens, tokens_t = F.linear(tokens, *self._up[0]), F.linear(tokens_t, *self._up[1])
        tokens, tokens_t = (side.to(self._dtype) for side in self._transformer(tokens, tokens_t, bands))
        if self._down:
            tokens, tokens_t = F.linear(tokens, *self._down[0]), F.linear(tokens_t, *self._down[1])
        return torch.unflatten(tokens, 1, (-1, bands)).transpose(1, 2).contiguous(), tokens_t[:, None]


_zip = partial(zip, strict=True)


def _pointwise(conv: Any, weights: Weights) -> tuple[Tensor, Tensor]:
    return weights(conv.weight[:, :, 0]), weights(conv.bias)


def _levelled(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean and deviation of each item taken off, and both; the former in `dtype`."""
    dims = tuple(range(1, x.ndim))
    std, mean = torch.std_mean(x, dims, keepdim=True)
    return ((x - mean) / (1e-5 + std)).contiguous().to(dtype), (std, mean)


def _put_back(x: Tensor, level: tuple[Tensor, Tensor]) -> Tensor:
    """In place."""
    std, mean = level
    return x.mul_(std).add_(mean)
