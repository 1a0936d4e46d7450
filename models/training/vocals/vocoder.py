"""Sound from pitch, spectrum and noise, all frames at once: WORLD's model of a voice, many times as fast."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, rfft

from training.vocals.timbre import FRAME_SECONDS, VOICE_RATE, Floats

HOP = round(FRAME_SECONDS * VOICE_RATE)
SIZE = 1024  # 240 samples of excitation and the throat's answer to them
TAPS = 8


def synthesised(hertz: Floats, log_power: Floats, aperiodic: Floats, rng: np.random.Generator) -> Floats:
    """`hertz` [frames], 0 where unvoiced; `log_power` and `aperiodic` (0 … 1) [frames, SIZE / 2 + 1]."""
    filters = minimum_phase(log_power.astype(np.float32))
    samples = len(hertz) * HOP
    noise = _slices(rng.normal(size=samples).astype(np.float32))
    pulses = _slices(pulse_train(hertz, samples))
    share = np.where(hertz[:, None] > 0, aperiodic, 1.0).astype(np.float32)
    excited = rfft(pulses, SIZE) * np.sqrt(1 - share**2) + rfft(noise, SIZE) * share
    answers = irfft(excited * filters, SIZE)
    sound = np.zeros(samples + SIZE)
    for start in range(0, SIZE, HOP):  # every answer's first hop, then every one's second …
        part = answers[:, start : start + HOP]
        target = sound[start : start + len(hertz) * HOP].reshape(-1, HOP)
        target[:, : part.shape[1]] += part
    return sound[HOP // 2 : HOP // 2 + samples]


def minimum_phase(log_power: Floats) -> Floats:
    """The spectra of the filters that answer soonest."""
    cepstrum = irfft(log_power / 2, SIZE)
    cepstrum[:, 1 : SIZE // 2] *= 2
    cepstrum[:, SIZE // 2 + 1 :] = 0
    return np.asarray(np.exp(rfft(cepstrum, SIZE)))


def pulse_train(hertz: Floats, samples: int) -> Floats:
    """One pulse a period, at its exact place between samples, of the same power at any pitch."""
    each = np.repeat(hertz, HOP)[:samples]
    known = np.interp(np.arange(samples) / HOP, np.arange(len(hertz)), _filled(hertz))
    phase = np.cumsum(known / VOICE_RATE)
    ends = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    ends = ends[each[ends] > 0]
    place = ends + (np.floor(phase[ends] + 1) - phase[ends]) / (known[ends] / VOICE_RATE)
    offsets = np.arange(1 - TAPS, TAPS + 1)
    nearest = np.floor(place).astype(int)[:, None] + offsets
    away = nearest - place[:, None]
    kernel = np.sinc(away) * np.cos(np.clip(away / (TAPS + 1), -1, 1) * np.pi / 2) ** 2
    train = np.zeros(samples)
    np.add.at(train, np.clip(nearest, 0, samples - 1), kernel * np.sqrt(VOICE_RATE / known[ends])[:, None])
    return train.astype(np.float32)


def _filled(hertz: Floats) -> Floats:
    voiced = np.flatnonzero(hertz > 0)
    return np.interp(np.arange(len(hertz)), voiced, hertz[voiced]) if len(voiced) else np.full(len(hertz), 100.0)


def _slices(sound: Floats) -> Floats:
    """Windowed stretches of two hops, one a frame; together they are the sound, half a hop late."""
    padded = np.concatenate([np.zeros(HOP // 2, np.float32), sound, np.zeros(2 * HOP, np.float32)])
    frames = len(sound) // HOP
    window = np.sin(np.pi * (np.arange(2 * HOP) + 0.5) / (2 * HOP)).astype(np.float32) ** 2
    rows = np.lib.stride_tricks.sliding_window_view(padded, 2 * HOP)[::HOP][:frames]
    return np.asarray(rows * window)
