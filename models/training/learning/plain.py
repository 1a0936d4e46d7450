"""What signal processing alone makes of a mixture: the line that a model has to beat. Learns nothing.

Drums are what is short and wide in the spectrogram, the rest what is long and narrow (median filters: Fitzgerald
2010, "Harmonic/percussive separation using median filtering"); of the rest, bass lies low, vocals in the middle of
the stereo image and of the spectrum, and other is what remains.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import median_filter

from training.score.notes import RATE

WINDOW, HOP = 4096, 1024
FRAMES, BINS = 17, 31  # about 0.4 s, about 330 Hz
BASS_BELOW_HZ = 180.0
VOCALS_HZ = (180.0, 6000.0)
VOCALS_SHARE = 0.5  # of what sounds from the middle in their range


def plain_separation(mix: torch.Tensor) -> torch.Tensor:
    """[2, samples] ▸ [4, 2, samples] in the order of STEMS; the four add up to the mix."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(mix, WINDOW, HOP, window=window, return_complex=True)  # [2, bins, frames]
    magnitude = spectrum.abs().mean(0).numpy()
    long = median_filter(magnitude, (1, FRAMES)) ** 2
    wide = median_filter(magnitude, (BINS, 1)) ** 2
    percussive = torch.from_numpy(wide / (long + wide + 1e-12))
    masks = torch.stack([percussive, *_of_the_rest(spectrum, 1 - percussive)])
    stems = masks[:, None] * spectrum
    return torch.stack([torch.istft(stem, WINDOW, HOP, window=window, length=mix.shape[-1]) for stem in stems])


def _of_the_rest(spectrum: torch.Tensor, rest: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Masks of bass, other and vocals, [bins, frames] each."""
    hertz = torch.from_numpy(np.fft.rfftfreq(WINDOW, 1 / RATE))[:, None]
    left, right = spectrum
    middle = (left + right).abs().square()
    middle = middle / (middle + (left - right).abs().square() + 1e-12)
    bass = rest * (hertz < BASS_BELOW_HZ)
    in_range = (hertz >= VOCALS_HZ[0]) & (hertz < VOCALS_HZ[1])
    vocals = rest * VOCALS_SHARE * middle * in_range
    return bass.float(), (rest - bass - vocals).float(), vocals.float()
