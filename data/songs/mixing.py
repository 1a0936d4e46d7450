"""The mixing desk: filters, compression, room, panning, and a master that keeps stems adding up.

Every sound here is [2, samples], float64, 44.1 kHz, full scale 1.0.
"""

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from songs.instruments import RATE

LOOKAHEAD_SECONDS = 0.004


def band(sound: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    cut = sosfilt(butter(2, low_hz, "highpass", fs=RATE, output="sos"), sound)
    return sosfilt(butter(1, high_hz, "lowpass", fs=RATE, output="sos"), cut)


def bell(sound: np.ndarray, hertz: float, gain_db: float, q: float = 1.0) -> np.ndarray:
    """A peaking equaliser (Bristow-Johnson's Audio EQ Cookbook)."""
    amp, omega = 10 ** (gain_db / 40), 2 * np.pi * hertz / RATE
    alpha, cosine = np.sin(omega) / (2 * q), np.cos(omega)
    numerator = [1 + alpha * amp, -2 * cosine, 1 - alpha * amp]
    denominator = [1 + alpha / amp, -2 * cosine, 1 - alpha / amp]
    return lfilter(numerator, denominator, sound)


def pan(sound: np.ndarray, place: float) -> np.ndarray:
    """Balance at constant power; the centre leaves the sound as it is."""
    angle = (place + 1) * np.pi / 4
    return sound * np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])


def loudness_db(sound: np.ndarray) -> float:
    """RMS of the 50 ms frames within 30 dB of the loudest: how loud it is where it plays."""
    frame = RATE // 20
    whole = sound[:, : sound.shape[1] // frame * frame]
    powers = (whole**2).mean(0).reshape(-1, frame).mean(1)
    active = powers[powers > powers.max() / 1000]
    return float(10 * np.log10(active.mean() + 1e-12))


def levelled(sound: np.ndarray, target_db: float) -> np.ndarray:
    return sound * 10 ** ((target_db - loudness_db(sound)) / 20)


def compressed(sound: np.ndarray, over_db: float, ratio: float, seconds: float = 0.03) -> np.ndarray:
    """Gentle compression of what lies above `over_db` over the sound's loudness; both sides alike."""
    smooth = np.exp(-1 / (seconds * RATE))
    power = lfilter([1 - smooth], [1, -smooth], (sound**2).mean(0))
    excess = 10 * np.log10(power + 1e-12) - (loudness_db(sound) + over_db)
    return sound * 10 ** (-np.maximum(excess, 0) * (1 - 1 / ratio) / 20)


def room(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A room's answer: noise that fades by 60 dB in so many seconds, 15 ms late, without lows or fizz."""
    times = np.arange(round(seconds * 1.2 * RATE)) / RATE
    tail = rng.normal(size=(2, len(times))) * 10 ** (-3 * times / seconds)
    answer = np.pad(band(tail, 250, 5500), ((0, 0), (round(0.015 * RATE), 0)))
    return answer / np.sqrt((answer**2).sum(1, keepdims=True))


def reverberant(sound: np.ndarray, answer: np.ndarray, share: float) -> np.ndarray:
    wet = fftconvolve(sound, answer, axes=1)[:, : sound.shape[1]]
    return sound + share * wet


def mastered(stems: Mapping[str, np.ndarray], drive_db: float, peak: float) -> dict[str, np.ndarray]:
    """Stems driven into one look-ahead limiter. Its gain is the mix's, the same for every stem,
    so that the stems still add up to the mix, whose samples stay within `peak`.
    """
    driven = {name: sound * 10 ** (drive_db / 20) for name, sound in stems.items()}
    mix = np.abs(sum(driven.values())).max(0)
    wanted = np.minimum(1.0, peak / np.maximum(mix, 1e-9))
    reach = 2 * round(LOOKAHEAD_SECONDS * RATE) + 1
    held = minimum_filter1d(minimum_filter1d(wanted, reach), 8 * reach)
    gain = uniform_filter1d(held, reach)
    return {name: sound * gain for name, sound in driven.items()}


def faded_out(sound: np.ndarray, seconds: float) -> np.ndarray:
    fade = np.ones(sound.shape[1])
    fade[-round(seconds * RATE) :] = np.cos(np.linspace(0, np.pi / 2, round(seconds * RATE))) ** 2
    return sound * fade
