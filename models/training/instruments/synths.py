"""Synthesised tones by numpy: wavetables with a filter envelope, FM, plucked strings. One tone a pitch, then placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.score.notes import RATE, Hit

TABLE = 1024
CUTOFFS = 10  # tables from the darkest to the brightest
TWO_PI = 2 * np.pi


@dataclass(frozen=True)
class Patch:
    """A synthesiser's knobs. Cutoffs in octaves over the note; times in seconds."""

    wave: str
    width: float
    voices: int
    detune_cents: float
    spread: float
    cutoff: float
    sweep: float
    sweep_seconds: float
    resonance: float
    attack: float
    decay: float
    sustain: float
    release: float
    sub: float
    noise: float
    ratio: float
    index: float
    vibrato_cents: float
    vibrato_hz: float
    glide_cents: float


def patch(kind: str, rng: np.random.Generator) -> Patch:
    """A patch by chance, within what a pad, lead, pluck, bass or 808 is."""
    short = kind in ("pluck", "arp", "mallet")
    slow = kind in ("pad", "strings")
    low = kind in ("bass", "sub", "eight")
    waves = {"sub": ["sine", "triangle"], "eight": ["sine"], "organ": ["organ"], "fm": ["fm"], "mallet": ["fm", "sine"]}
    wave = str(rng.choice(waves.get(kind, ["saw", "saw", "square", "pulse", "triangle", "fm", "comb"])))
    return Patch(
        wave=wave, width=rng.uniform(0.08, 0.5),
        voices=1 if low and rng.random() < 0.6 else int(rng.choice([1, 2, 3, 5])),
        detune_cents=rng.uniform(3, 28) * (0.5 if low else 1), spread=rng.uniform(0, 0.25 if low else 1),
        cutoff=rng.uniform(0.5, 4.0 if low else 6), sweep=rng.uniform(0, 4) * (rng.random() < 0.7),
        sweep_seconds=rng.uniform(0.03, 0.5) if not slow else rng.uniform(0.5, 3),
        resonance=rng.uniform(0.6, 6.0) if rng.random() < 0.5 else 0.8,
        attack=rng.uniform(0.1, 1.0) if slow else rng.uniform(0.001, 0.02),
        decay=rng.uniform(0.08, 0.5) if short else rng.uniform(0.2, 1.5),
        sustain=0.0 if short else rng.uniform(0.3, 1.0) if kind != "eight" else 0.0,
        release=rng.uniform(0.3, 1.5) if slow else rng.uniform(0.02, 0.3),
        sub=rng.uniform(0.2, 1) * (low and rng.random() < 0.5), noise=rng.uniform(0, 0.08) * (rng.random() < 0.25),
        ratio=float(rng.choice([0.5, 1, 1, 2, 3, 3.5, 7, 1.41])), index=rng.uniform(0.5, 7),
        vibrato_cents=rng.uniform(0, 25) * (kind == "lead"), vibrato_hz=rng.uniform(4, 6.5),
        glide_cents=rng.uniform(200, 2400) if kind == "eight" or rng.random() < 0.06 else 0.0,
    )  # fmt: skip


def spectrum(knobs: Patch, count: int, rng: np.random.Generator) -> np.ndarray:
    """Strengths of the first harmonics, from the first one on."""
    order = np.arange(1, count + 1)
    if knobs.wave == "sine":
        return (order == 1).astype(float)
    if knobs.wave == "triangle":
        return (order % 2) / order**2.0
    if knobs.wave == "square":
        return (order % 2) / order
    if knobs.wave == "pulse":
        return np.sin(np.pi * order * knobs.width) / order
    if knobs.wave == "organ":
        drawbars = np.zeros(max(count, 16))
        drawbars[[0, 1, 2, 3, 4, 5, 7]] = rng.uniform(0, 1, 7) ** 2
        return drawbars[:count] + 0.02
    if knobs.wave == "comb":
        return rng.uniform(0, 1, count) ** 2 / order**0.8
    return 1.0 / order


def tables(knobs: Patch, hertz: float, rng: np.random.Generator) -> np.ndarray:
    """[CUTOFFS, TABLE + 1]: one period at rising cutoffs, free of aliases."""
    count = int(min(TABLE // 2 - 1, 16_000 / hertz))
    order = np.arange(1, count + 1)
    strengths = spectrum(knobs, count, rng)
    cutoffs = 2.0 ** np.linspace(0, 8, CUTOFFS)[:, None]
    ratio = order / cutoffs
    response = 1 / np.sqrt((1 - ratio**2) ** 2 + (ratio / knobs.resonance) ** 2)
    bins = np.zeros((CUTOFFS, TABLE // 2 + 1), complex)
    bins[:, 1 : count + 1] = -1j * strengths * response * TABLE / 2
    waves = np.fft.irfft(bins, axis=1)
    return np.concatenate([waves, waves[:, :1]], axis=1).astype(np.float32)


def envelope(knobs: Patch, held: int, total: int) -> np.ndarray:
    times = np.arange(total, dtype=np.float32) / RATE
    body = knobs.sustain + (1 - knobs.sustain) * np.exp(-times / knobs.decay)
    if knobs.sustain == 0:
        body = np.exp(-times / knobs.decay)
    rise = np.minimum(times / knobs.attack, 1)
    fall = np.exp(-np.maximum(times - held / RATE, 0) * 5 / knobs.release)
    return (body * rise * fall).astype(np.float32)


def phase_of(knobs: Patch, hertz: float, cents: float, total: int, rng: np.random.Generator) -> np.ndarray:
    """Cycles since the note's start, with glide and vibrato."""
    times = np.arange(total, dtype=np.float64) / RATE
    bend = cents + knobs.glide_cents * np.exp(-times / 0.03)
    if knobs.vibrato_cents:
        bend = bend + knobs.vibrato_cents * np.minimum(times * 3, 1) * np.sin(TWO_PI * knobs.vibrato_hz * times)
    start = rng.uniform()
    if np.ndim(bend) == 0 or not (knobs.glide_cents or knobs.vibrato_cents):
        return start + times * hertz * 2 ** (cents / 1200)
    return start + np.cumsum(hertz * 2 ** (bend / 1200)) / RATE


def tone(knobs: Patch, pitch: float, held: int, rng: np.random.Generator, waves: np.ndarray | None) -> np.ndarray:
    """One note, [2, samples] float32."""
    total = held + int(knobs.release * RATE)
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    out = np.zeros((2, total), np.float32)
    times = np.arange(total, dtype=np.float32) / RATE
    for voice in range(knobs.voices):
        place = 2 * voice / max(knobs.voices - 1, 1) - 1 if knobs.voices > 1 else 0.0
        phase = phase_of(knobs, hertz, place * knobs.detune_cents, total, rng)
        mono = _fm(knobs, phase, times) if waves is None else _read(knobs, waves, phase, times)
        side = place * knobs.spread
        out += mono * np.array([[1 - max(side, 0)], [1 + min(side, 0)]], np.float32)
    if knobs.sub:
        out += knobs.sub * np.sin(TWO_PI * (times * hertz * (0.5 if hertz > 75 else 1))).astype(np.float32)
    if knobs.noise:
        out += knobs.noise * rng.standard_normal((2, total), np.float32)
    return out * envelope(knobs, held, total) / np.sqrt(knobs.voices)


def _fm(knobs: Patch, phase: np.ndarray, times: np.ndarray) -> np.ndarray:
    index = knobs.index * np.exp(-times / (knobs.sweep_seconds + 0.05))
    return np.sin(TWO_PI * phase + index * np.sin(TWO_PI * knobs.ratio * phase)).astype(np.float32)


def _read(knobs: Patch, waves: np.ndarray, phase: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The wavetables at a phase, between the two cutoffs that the envelope is at."""
    spot = ((phase % 1) * TABLE).astype(np.int32)
    cutoff = knobs.cutoff + knobs.sweep * np.exp(-times / knobs.sweep_seconds)
    if not knobs.sweep:
        row = min(knobs.cutoff / 8 * (CUTOFFS - 1), CUTOFFS - 1.01)
        upper = row - int(row)
        return ((1 - upper) * waves[int(row)] + upper * waves[int(row) + 1])[spot]
    rows = np.minimum(cutoff / 8 * (CUTOFFS - 1), CUTOFFS - 1.01).astype(np.float32)
    below = rows.astype(np.int32)
    share = rows - below
    flat, first = waves.ravel(), below * (TABLE + 1) + spot
    return flat[first] * (1 - share) + flat[first + TABLE + 1] * share


def plucked(pitch: float, seconds: float, slope: float, damping: float, rng: np.random.Generator) -> np.ndarray:
    """A Karplus-Strong string, mono: each period is the one before it, smoothed. `slope` darkens the pluck."""
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    period = max(int(RATE / hertz), 8)
    bins = np.fft.rfft(rng.standard_normal(period))
    order = np.arange(len(bins))
    pick = np.abs(np.sin(np.pi * order * rng.uniform(0.06, 0.4))) + 0.05
    bins *= pick / np.maximum(order, 1) ** slope * (order > 0)
    # One period's loss: all harmonics by `damping`, high ones more.
    loss = damping * np.cos(np.pi * np.minimum(order / max(period, 60), 0.5)) ** 0.7
    periods = np.fft.irfft(bins * loss ** np.arange(max(int(seconds * hertz), 2))[:, None], period, axis=1)
    sound = periods.ravel()
    exact = np.arange(0, len(sound) - 1, hertz * period / RATE)
    return np.interp(exact, np.arange(len(sound)), sound) / (np.abs(periods[0]).max() + 1e-9)


class Synth:
    """Plays hits with one patch; tones of one pitch and length are made once."""

    def __init__(self, kind: str, rng: np.random.Generator) -> None:
        self.rng, self.kind, self.patch = rng, kind, patch(kind, rng)
        self.string = kind in ("string", "low string")
        self.slope, self.damping = rng.uniform(0.3, 1.5) + 0.6 * (kind == "low string"), rng.uniform(0.97, 0.997)
        self.tables: dict[int, np.ndarray] = {}
        self.tones: dict[tuple[int, int], np.ndarray] = {}
        self.name = f"string {self.slope:.1f}" if self.string else f"{kind} {self.patch.wave}"

    def play(self, hits: Sequence[Hit], samples: int) -> np.ndarray:
        out = np.zeros((2, samples), np.float32)
        for hit in hits:
            sound = self._tone(hit)
            start = round(hit.start_seconds * RATE)
            room = min(sound.shape[1], samples - start)
            if room > 0:
                out[:, start : start + room] += (hit.velocity / 100) ** 1.5 * sound[:, :room]
        return out

    def _tone(self, hit: Hit) -> np.ndarray:
        length = max(round(hit.length_seconds * 12), 1)
        if (hit.pitch, length) not in self.tones:
            self.tones[hit.pitch, length] = self._made(hit.pitch, round(length / 12 * RATE))
        return self.tones[hit.pitch, length]

    def _made(self, pitch: int, held: int) -> np.ndarray:
        if self.string:
            return self._string(pitch, held)
        if self.patch.wave == "fm":
            return tone(self.patch, pitch, held, self.rng, None)
        if pitch not in self.tables:
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            self.tables[pitch] = tables(self.patch, hertz, np.random.default_rng(hash(self.patch.width) % 2**32))
        return tone(self.patch, pitch, held, self.rng, self.tables[pitch])

    def _string(self, pitch: int, held: int) -> np.ndarray:
        damping = self.damping ** np.sqrt(55 / (440 * 2 ** ((pitch - 69) / 12)))
        mono = plucked(pitch, held / RATE + 0.15, self.slope, damping, self.rng)
        fade = np.minimum(1, np.arange(len(mono))[::-1] / (0.12 * RATE))
        return np.repeat((mono * fade)[None], 2, 0).astype(np.float32)
