"""What a studio does to a voice before the mix: air, de-essing, compression, tone. No reverb, no level of the stem."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from training.score.notes import RATE
from training.vocals.timbre import VOICE_RATE, Floats


def recorded(track: Floats, samples: int, rng: np.random.Generator) -> Floats:
    """A mono track at VOICE_RATE, cleaned up and lifted to 44.1 kHz."""
    sound = resample_poly(track, 147, 80) if VOICE_RATE * 147 == RATE * 80 else track
    sound = np.pad(sound, (0, max(samples - len(sound), 0)))[:samples]
    sound = sosfilt(butter(2, rng.uniform(60, 130), "highpass", fs=RATE, output="sos"), sound)
    if rng.random() < 0.9:
        sound = _with_air(sound, rng)
    sound = _compressed(sound, rng)
    if rng.random() < 0.35:
        sound = _driven(sound, rng)
    return np.asarray(_toned(sound, rng))


def _band(low: float, high: float, order: int = 2) -> Floats:
    return np.asarray(butter(order, [low, high], "bandpass", fs=RATE, output="sos"))


def _with_air(sound: Floats, rng: np.random.Generator) -> Floats:
    """Noise above 11 kHz, where WORLD's 24 kHz end; it follows the breath and the sibilants."""
    follow = np.abs(sosfilt(_band(6500, 11_000), sound))
    follow = np.clip(sosfilt(butter(1, 50, fs=RATE, output="sos"), follow), 0, None)
    air = sosfilt(_band(10_500, rng.uniform(14_000, 18_000)), rng.normal(size=len(sound)))
    return np.asarray(sound + rng.uniform(0.3, 1.6) * follow * air)


def _compressed(sound: Floats, rng: np.random.Generator) -> Floats:
    level = np.sqrt(np.clip(sosfilt(butter(1, rng.uniform(4, 20), fs=RATE, output="sos"), sound**2), 1e-12, None))
    threshold = np.quantile(level[::50], 0.9) * rng.uniform(0.4, 1.0) + 1e-9
    return np.asarray(sound * np.minimum(threshold / level, 1.0) ** rng.uniform(0.2, 0.8))


def _driven(sound: Floats, rng: np.random.Generator) -> Floats:
    """A preamplifier pushed: harmonics above the recording's own band."""
    loud = np.quantile(np.abs(sound[::20]), 0.99) + 1e-9
    drive = float(rng.choice([rng.uniform(0.4, 1.2), rng.uniform(1.2, 4.0)], p=[0.75, 0.25]))
    return np.asarray(np.tanh(sound / loud * drive + 0.1) - np.tanh(0.1))


def _toned(sound: Floats, rng: np.random.Generator) -> Floats:
    """Two broad bands up or down by at most 5 dB, and sometimes a narrow, dull or telephone tone."""
    for centre in (rng.uniform(200, 900), rng.uniform(1500, 8000)):
        gain = 10 ** (rng.uniform(-5, 5) / 20) - 1
        sound = sound + gain * sosfilt(_band(centre / 1.5, min(centre * 1.5, 16_000), 1), sound)
    if rng.random() < 0.05:
        sound = sosfilt(_band(350, rng.uniform(2800, 5000)), sound)
    return np.asarray(sound)
