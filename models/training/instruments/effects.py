"""Effects drawn by chance: equaliser, compression, drive, amplifier, chorus, echo, width. [2, samples] in and out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import minimum_filter1d
from scipy.signal import butter, sosfilt
from songs.mixing import bell, compressed, loudness_db, pan

from training.score.notes import RATE

SILENT_PEAK = 1e-5


def filtered(sound: np.ndarray, hertz: float, kind: str, order: int = 1) -> np.ndarray:
    return sosfilt(butter(order, hertz, kind, fs=RATE, output="sos"), sound)


def tilted(sound: np.ndarray, hertz: float, gain_db: float) -> np.ndarray:
    """Everything above `hertz` louder by `gain_db`, by a first-order shelf."""
    return sound + (10 ** (gain_db / 20) - 1) * filtered(sound, hertz, "highpass")


def coloured(sound: np.ndarray, rng: np.random.Generator, amount_db: float = 4.0) -> np.ndarray:
    """A mixing engineer's taste: a tilt and up to three bells."""
    sound = tilted(sound, float(np.exp(rng.uniform(5.5, 8.5))), float(rng.normal(0, amount_db * 0.7)))
    for _ in range(int(rng.integers(0, 3))):
        hertz = float(np.exp(rng.uniform(np.log(80), np.log(9_000))))
        sound = bell(sound, hertz, float(rng.normal(0, amount_db)), float(rng.uniform(0.5, 2.5)))
    return sound


def driven(sound: np.ndarray, drive: float, skew: float = 0.0) -> np.ndarray:
    """Soft clipping of a sound first brought to a standard loudness."""
    level = 10 ** (loudness_db(sound) / 20) + 1e-9
    pushed = sound * (drive / level)
    return (np.tanh(pushed + skew) - np.tanh(skew)) * level / max(np.tanh(drive), 0.1)


def amplified(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An electric guitar's way: pedal, distortion, loudspeaker."""
    tight = filtered(sound, float(rng.uniform(80, 600)), "highpass")
    pushed = driven(tight, float(np.exp(rng.uniform(0.5, 3.5))), float(rng.uniform(0, 0.4)))
    cut = filtered(
        filtered(pushed, float(rng.uniform(3_000, 6_500)), "lowpass", 3), float(rng.uniform(60, 140)), "highpass", 2
    )
    return bell(
        bell(cut, float(rng.uniform(90, 180)), float(rng.uniform(0, 6))),
        float(rng.uniform(1_500, 3_500)),
        float(rng.uniform(0, 7)),
    )


def chorused(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Added to itself late, by a delay that swings; each side at its own phase. Short delays flange."""
    samples, rate_hz = sound.shape[1], rng.uniform(0.1, 5) ** 1.0
    spots, out = np.arange(samples), np.empty_like(sound)
    centre, depth = rng.uniform(0.002, 0.02) * RATE, rng.uniform(0.0003, 0.0025) * RATE
    depth /= max(rate_hz, 0.7)
    for side, phase in enumerate(rng.uniform(0, 2 * np.pi, 2)):
        late = centre + depth * np.sin(2 * np.pi * rate_hz / RATE * spots + phase)
        out[side] = np.interp(spots - late, spots, sound[side])
    return sound + rng.uniform(0.3, 1) * out


def echoed(sound: np.ndarray, beat_seconds: float, rng: np.random.Generator) -> np.ndarray:
    late = round(beat_seconds * float(rng.choice([0.5, 0.75, 1, 1.5, 0.33])) * RATE)
    feedback, out, tap = rng.uniform(0.2, 0.6), sound.copy(), sound
    tap = filtered(tap, rng.uniform(1_500, 8_000), "lowpass") * rng.uniform(0.2, 0.6)
    for _ in range(4):
        if late >= tap.shape[1]:
            break
        tap = np.pad(tap, ((0, 0), (late, 0)))[:, : sound.shape[1]]
        tap = tap[::-1] if feedback > 0.4 else tap
        out += tap
        tap = tap * feedback
    return out


def trembling(sound: np.ndarray, beat_seconds: float, rng: np.random.Generator) -> np.ndarray:
    times, hertz = np.arange(sound.shape[1]) / RATE, float(rng.choice([1, 2, 4])) / beat_seconds
    depth, shift = rng.uniform(0.1, 0.5), rng.choice([0.0, np.pi])
    wave = np.sin(2 * np.pi * hertz * times)
    return sound * np.stack([1 - depth + depth * wave, 1 - depth + depth * np.cos(shift) * wave])


def swept(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slow crossfade between the sound and a dark version of itself."""
    dark = filtered(sound, float(rng.uniform(250, 1_500)), "lowpass", 2)
    times = np.arange(sound.shape[1]) / RATE
    share = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.02, 0.3) * times + rng.uniform(0, 6))
    return dark * share + sound * (1 - share)


def widened(sound: np.ndarray, width: float) -> np.ndarray:
    """Side louder or softer; at zero the sound is mono."""
    middle, side = (sound[0] + sound[1]) / 2, (sound[0] - sound[1]) / 2 * width
    return np.stack([middle + side, middle - side])


def doubled(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left and right some milliseconds apart, as of two takes."""
    late = int(rng.uniform(0.006, 0.028) * RATE)
    return np.stack([sound[0], np.pad(sound[1], (late, 0))[: sound.shape[1]]])


def crushed(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An old sampler: few bits, held samples."""
    hold = int(rng.choice([1, 2, 2, 3]))
    steps = 2.0 ** rng.integers(6, 11) / (np.abs(sound).max() + 1e-9)
    held = np.repeat(sound[:, ::hold], hold, axis=1)[:, : sound.shape[1]]
    return np.round(held * steps) / steps


def convolved(sound: np.ndarray, answer: np.ndarray) -> np.ndarray:
    size = next_fast_len(sound.shape[1] + answer.shape[1], real=True)
    product = rfft(sound.astype(np.float32), size) * rfft(answer.astype(np.float32), size)
    return irfft(product, size)[:, : sound.shape[1]]


def ducked(sound: np.ndarray, kicks: Sequence[float], depth: float, seconds: float) -> np.ndarray:
    """Softer right after each kick, then back."""
    if not kicks:
        return sound
    times = np.arange(sound.shape[1]) / RATE
    starts = np.sort(np.asarray(kicks))
    place = np.searchsorted(starts, times, side="right") - 1
    since = np.where(place >= 0, times - starts[np.maximum(place, 0)], 9.0)
    gain = 1 - depth * np.exp(-((since / seconds) ** 2))
    return sound * minimum_filter1d(gain, 200)


def dressed(stem: str, family: str, sound: np.ndarray, beat_seconds: float, rng: np.random.Generator) -> np.ndarray:
    """One part through the effects that its kind of instrument gets, each by its odds."""
    if np.abs(sound).max() < SILENT_PEAK:
        return sound
    guitar, synth = family in ("clean", "dist", "steel"), family in ("lead", "pad", "pluck", "fx", "synth")
    odds = {
        "drums": {"drive": 0.3, "crush": 0.08, "press": 0.6, "echo": 0.02, "chorus": 0.03, "sweep": 0.02},
        "bass": {"drive": 0.3, "crush": 0.03, "press": 0.6, "echo": 0.01, "chorus": 0.08, "sweep": 0.03},
        "vocals": {"drive": 0.12, "crush": 0.01, "press": 0.7, "echo": 0.25, "chorus": 0.08, "sweep": 0.0},
    }.get(
        stem,
        {"drive": 0.12, "crush": 0.04, "press": 0.35, "echo": 0.2, "chorus": 0.25, "sweep": 0.12 if synth else 0.03},
    )
    if (family == "dist" and rng.random() < 0.8) or family == "grit" or (guitar and rng.random() < 0.15):
        sound = amplified(sound, rng)
    elif rng.random() < odds["drive"]:
        sound = driven(sound, float(np.exp(rng.uniform(-1.5, 1.2))))
    if rng.random() < odds["crush"]:
        sound = crushed(sound, rng)
    sound = coloured(sound, rng, 3.0 if stem in ("bass", "vocals") else 4.5)
    if rng.random() < odds["press"]:
        sound = compressed(
            sound, float(rng.uniform(-6, 2)), float(rng.uniform(1.5, 5)), float(rng.uniform(0.005, 0.06))
        )
    for name, effect in (("chorus", chorused), ("sweep", swept)):
        sound = effect(sound, rng) if rng.random() < odds[name] else sound
    if stem == "other" and rng.random() < 0.06:
        sound = trembling(sound, beat_seconds, rng)
    sound = echoed(sound, beat_seconds, rng) if rng.random() < odds["echo"] else sound
    return placed(stem, family, sound, rng)


def placed(stem: str, family: str, sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if stem == "bass":
        low = widened(sound, float(rng.uniform(0, 0.6)))
        return filtered(low, float(rng.uniform(2_000, 9_000)), "lowpass") if rng.random() < 0.5 else low
    if stem == "drums":
        return widened(sound, float(rng.uniform(0.3, 1.5)))
    if stem == "vocals":
        return pan(sound, float(rng.normal(0, 0.08)))
    sound = filtered(sound, float(np.exp(rng.uniform(np.log(30), np.log(300)))), "highpass", 2)
    if family in ("dist", "clean", "steel", "nylon") and rng.random() < 0.4:
        return doubled(sound, rng)
    return pan(widened(sound, float(rng.uniform(0, 1.6))), float(rng.uniform(-0.8, 0.8) * (rng.random() < 0.7)))


def shared_room(stem: str, rng: np.random.Generator) -> float:
    """How much of the room a stem gets."""
    most = {"drums": 0.3, "bass": 0.05, "other": 0.5, "vocals": 0.5}[stem]
    return float(rng.uniform(0, most) * (rng.random() < 0.8))
