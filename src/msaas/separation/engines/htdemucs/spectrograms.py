"""The spectrograms at both ends of HTDemucs, with real and imaginary parts as channels.

The same numbers as HTDemucs' own `_magnitude` and `_ispec`, with fewer passes over memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Of the inverse transform: on a CPU those of all stems fit the cache, on a card they take no more memory than a stem.
_TIMES_TOGETHER, _TIMES_ON_CARD = 8, 112
_WINDOWS_SQUARED = 1.5  # the sum over the four Hann windows that cover a sample

Level = tuple[Tensor, Tensor]  # deviation and mean of each item


def normalized(x: Tensor) -> tuple[Tensor, Level]:
    """The items with mean and deviation removed, and the level that restores them."""
    dims = tuple(range(1, x.ndim))
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    std = centred.square().sum(dims, keepdim=True).div_(x[0].numel() - 1).sqrt_()
    return centred.mul_(1 / (1e-5 + std)), (std, mean)


def restored(x: Tensor, level: Level) -> Tensor:
    """Restores deviation and mean, in place."""
    std, mean = level
    return x.mul_(std).add_(mean)


def image_of(spectrogram: Tensor, dtype: torch.dtype) -> tuple[Tensor, Level]:
    """[B, C, F, T] complex, as torch.stft makes it, ▸ [B, F, T, 2 C] of `dtype`, normalised."""
    parts, level = normalized(torch.view_as_real(spectrogram.transpose(2, 3)))
    pairs = parts.to(dtype).view(torch.int32 if dtype.itemsize == 2 else torch.int64)[..., 0]  # [B, C, T, F]
    image = pairs.permute(0, 2, 3, 1).contiguous().transpose(1, 2).contiguous()  # two short steps: one is slower
    return image.view(dtype), level


def waves_of(image: Tensor, level: Level, samples: int) -> Tensor:
    """[B, F, T, 2 K] float32 ▸ [B, K, samples]: the inverse transform, with the level that image_of gave restored.

    Frames have 2 F samples and begin F / 2 after each other. The first of them begins 3 F / 4 before the first sample.
    """
    batch, bands, times, _ = image.shape
    hop = bands // 2
    values = torch.view_as_complex(torch.unflatten(image, -1, (-1, 2))).permute(0, 3, 2, 1)  # [B, K, T, F]
    window = torch.hann_window(2 * bands, device=image.device).view(4, hop) / _WINDOWS_SQUARED
    together = _TIMES_TOGETHER * torch.get_num_threads() if image.device.type == "cpu" else _TIMES_ON_CARD
    waves = image.new_zeros(batch, values.shape[1], times + 3, hop)
    spectra = values.new_zeros(batch, values.shape[1], together, bands + 1)  # the highest band is silent
    for first in range(0, times, together):
        some = values[:, :, first : first + together]
        count = some.shape[2]
        spectra[:, :, :count, :bands] = some
        restored(torch.view_as_real(spectra[:, :, :count, :bands]), level)
        frames = torch.fft.irfft(spectra[:, :, :count], norm="ortho")
        for part, quarter in enumerate(torch.unflatten(frames, -1, (4, hop)).unbind(3)):
            waves[:, :, first + part : first + part + count].addcmul_(quarter, window[part])
    return waves.flatten(2)[..., 3 * hop // 2 :][..., :samples]
