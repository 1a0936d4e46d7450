"""Voices that nobody has: a glottis, a vocal tract of random length and its vowels, written straight as spectra."""

from __future__ import annotations

import numpy as np

from training.vocals.timbre import GRID_HERTZ, NOISE_HERTZ, Floats, Voice, joined

FORMANTS = {  # Hz of a tract of 17.5 cm; after Peterson and Barney's and Fant's tables, rounded
    "a": (730, 1150, 2450, 3400, 4300),
    "A": (640, 1050, 2450, 3350, 4200),
    "e": (480, 1950, 2550, 3450, 4300),
    "E": (580, 1800, 2500, 3450, 4300),
    "i": (290, 2250, 2950, 3600, 4400),
    "I": (390, 2000, 2600, 3500, 4300),
    "o": (460, 850, 2450, 3300, 4100),
    "u": (310, 750, 2300, 3200, 4000),
    "y": (300, 1750, 2200, 3300, 4200),
    "V": (600, 1250, 2450, 3400, 4200),
    "R": (470, 1250, 1700, 3300, 4200),
}
NOISES = {"s": (7500, 2200, 0.0), "S": (3600, 1500, 0.0), "f": (6500, 5000, -2.0), "h": (1800, 1500, -2.5)}
BURSTS = {"t": (4500, 2500, 0.0), "k": (2200, 1200, 0.0), "p": (1000, 1500, -1.0)}
MURMURS = {
    "m": (260, 1100, 2200),
    "n": (280, 1500, 2500),
    "l": (350, 1200, 2700),
    "r": (330, 1100, 1600),
    "w": (300, 700, 2200),
}
SYLLABLES_A_CLIP, CLIPS = 9, 20


def invented(rng: np.random.Generator) -> Voice:
    """A random singer: tract, brightness, breath and singer's formant drawn once, syllables at random."""
    tract = float(rng.uniform(0.88, 1.35))
    tilt = float(rng.uniform(-16.0, -7.0)) / 8.686 * 2  # dB an octave to log power, above the knee
    ring = float(rng.uniform(0.0, 2.5))
    breath = float(np.clip(rng.exponential(0.12), 0.01, 0.6))
    widths = rng.uniform(0.7, 1.5, 5)
    offsets = rng.normal(1.0, 0.05, 5)
    natural = float(rng.uniform(95, 150) * tract**2.2)
    clips = [_clip(rng, tract * offsets, widths, (tilt, ring, breath, natural)) for _ in range(CLIPS)]
    return joined(clips)


def _clip(rng: np.random.Generator, tract: Floats, widths: Floats, traits: tuple[float, float, float, float]) -> Voice:
    rows: list[tuple[Floats, Floats, float]] = []
    marks = []
    for index in range(SYLLABLES_A_CLIP):
        start = len(rows)
        vowel = str(rng.choice(list(FORMANTS)))
        glide = str(rng.choice(list(FORMANTS))) if rng.random() < 0.2 else vowel
        rows += _consonant(rng, FORMANTS[vowel] * tract, tract, widths, traits)
        first = len(rows)
        rows += _vowel(rng, FORMANTS[vowel] * tract, FORMANTS[glide] * tract, widths, traits)
        marks.append((start, first, len(rows), index == SYLLABLES_A_CLIP - 1))
    rows += rows[-6:]
    envelope = _smooth(np.stack([row[0] for row in rows]))
    noise = _smooth(np.stack([row[1] for row in rows]))
    hertz = np.array([row[2] for row in rows], dtype=np.float16)
    syllables = np.array(marks, dtype=np.int32)
    return Voice(hertz, envelope.astype(np.float16), noise.astype(np.float16), syllables, 12_000.0)


def _smooth(rows: Floats) -> Floats:
    padded = np.pad(rows, ((2, 2), (0, 0)), mode="edge")
    return np.asarray(sum(padded[shift : shift + len(rows)] for shift in range(5)) / 5)


def _vowel(rng: np.random.Generator, begin: Floats, end: Floats, widths: Floats, traits) -> list:  # type: ignore[no-untyped-def,type-arg]
    frames = int(rng.integers(24, 48))
    shares = np.clip(np.linspace(-0.5, 1.5, frames), 0, 1)
    return [_voiced(begin + (end - begin) * share, widths, traits) for share in shares]


def _consonant(rng, vowel, tract, widths, traits) -> list:  # type: ignore[no-untyped-def,type-arg]
    kind = rng.choice(["murmur", "noise", "burst", "none"], p=[0.4, 0.27, 0.23, 0.1])
    if kind == "murmur":
        formants = np.array(MURMURS[str(rng.choice(list(MURMURS)))])
        whole = np.concatenate([formants, (3200, 4100)]) * tract
        body = [_voiced(whole, widths * 2, traits, quieter=1.8)] * int(rng.integers(8, 18))
        return body + [_voiced(whole + (vowel - whole) * share, widths, traits) for share in (0.25, 0.5, 0.75)]
    if kind == "none":
        return []
    table = NOISES if kind == "noise" else BURSTS
    hiss = _unvoiced(*table[str(rng.choice(list(table)))])
    if kind == "noise":
        return [hiss] * int(rng.integers(10, 24))
    silence = (np.full(len(GRID_HERTZ), -25.0), np.ones(len(NOISE_HERTZ)), 0.0)
    return [silence] * int(rng.integers(6, 12)) + [hiss] * int(rng.integers(3, 9))


def _voiced(formants: Floats, widths: Floats, traits, quieter: float = 0.0) -> tuple[Floats, Floats, float]:  # type: ignore[no-untyped-def]
    tilt, ring, breath, natural = traits
    bandwidths = (60 + 0.03 * formants) * widths
    total = tilt * 0.5 * np.log2(1 + (GRID_HERTZ / 400) ** 2) / 2 - quieter
    for formant, bandwidth in zip(formants, bandwidths, strict=True):
        pole = (formant**2 + bandwidth**2 / 4) ** 2
        total = total + np.log(
            pole / (((GRID_HERTZ - formant) ** 2 + bandwidth**2 / 4) * ((GRID_HERTZ + formant) ** 2 + bandwidth**2 / 4))
        )
    higher = 4.2 * np.log1p((GRID_HERTZ / (formants[-1] * 1.05)) ** 2)  # the poles that the table leaves out
    total = total + higher + ring * np.exp(-(((GRID_HERTZ - 2900) / 500) ** 2))
    noise = np.clip(breath + (1 - breath) / (1 + np.exp(-(NOISE_HERTZ - 6500 + 4000 * breath) / 1200)), 0.005, 1)
    return total - 8.0, noise, natural


def _unvoiced(centre: float, width: float, level: float) -> tuple[Floats, Floats, float]:
    hill = level - 7.5 - np.minimum(((GRID_HERTZ - centre) / width) ** 2, 8)
    return hill, np.ones(len(NOISE_HERTZ)), 0.0
