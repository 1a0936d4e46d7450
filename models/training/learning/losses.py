"""What training minimises. Pure functions of tensors."""

from __future__ import annotations

import torch

WINDOWS = (2048, 512)


def loss(estimate: torch.Tensor, stems: torch.Tensor, spectral_weight: float) -> torch.Tensor:
    """L1 of the waveforms and of their complex spectrograms at several resolutions.

    Both [batch, 4, 2, samples]. The spectral part is that of band-split RNNs (Luo and Yu 2022, arXiv:2209.15174):
    a spectrogram is sparse, so its L1 pulls harder at what leaks than the waveform's does.
    """
    difference = estimate - stems
    total = difference.abs().mean()
    for window in WINDOWS:
        total = total + spectral_weight / len(WINDOWS) * _spectral(difference, window)
    return total


def _spectral(difference: torch.Tensor, window: int) -> torch.Tensor:
    flat = difference.reshape(-1, difference.shape[-1])
    shape = torch.hann_window(window, device=flat.device)
    spectrum = torch.stft(flat, window, window // 4, window=shape, normalized=True, return_complex=True)
    return torch.view_as_real(spectrum).abs().mean()


def sdr(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Signal-to-distortion ratio in dB over the last two dimensions, as the Music Demixing Challenge 2021 defines it.

    https://arxiv.org/abs/2108.13559, eq. 1: no filter is allowed between the two, every error counts.
    """
    power = reference.pow(2).sum((-1, -2)) + 1e-7
    error = (reference - estimate).pow(2).sum((-1, -2)) + 1e-7
    return 10 * torch.log10(power / error)
