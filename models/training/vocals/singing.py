"""One singer's phrases from a voice's syllables: time warped, pitch from the melody, the vocoder's sound. Mono, dry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.vocals.timbre import (
    BIN_HERTZ,
    FRAME_SECONDS,
    GRID_HERTZ,
    NOISE_HERTZ,
    VOICE_RATE,
    Floats,
    Voice,
    loudness,
    weights,
)
from training.vocals.vocoder import synthesised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.score.notes import Phrase, Sung

HEAD_SECONDS, RELEASE_SECONDS = 0.06, 0.1
HISS_BELOW = 3.5  # log power at least between a vowel and a sibilant's band
LOUD = -3.0  # log power that every vowel is brought near to
OCTAVES = np.log2(np.clip(GRID_HERTZ, 200, 10_000) / 800)


@dataclass(frozen=True)
class Manner:
    """How a voice sings in one take."""

    formants: float  # above 1 a shorter throat
    tilt: float  # log power an octave
    ring: float  # log power at 2.9 kHz, the singer's formant
    breath: float  # 0 … 0.5 of the harmonics turned to noise
    clearness: float  # above 1 takes the recording's own noise away
    vibrato_hertz: float
    vibrato_cents: float
    vibrato_delay: float
    glide_seconds: float
    scoop_cents: float
    drift_cents: float
    late_seconds: float
    growl: float
    fade_above: float  # log power an octave lost above the recording's band
    wordless: str  # "", "ooh" or "aah"


def drawn(voice: Voice, middle_pitch: float, rng: np.random.Generator) -> Manner:
    """A take's manner at random; pitches far above the voice's own get a shorter throat."""
    strain = middle_pitch - (69 + 12 * np.log2(voice.natural_hertz * 1.35 / 440))
    formants = np.clip(rng.normal(1, 0.06), 0.85, 1.18) * (1 + 0.008 * np.clip(strain, -9, 12))
    tuned = rng.random() < 0.15  # pitch correction: no glides, no drift
    return Manner(
        formants=float(formants * (rng.uniform(1.1, 1.22) if rng.random() < 0.07 else 1)),
        tilt=float(rng.normal(0.25, 0.45)),
        ring=float(np.clip(rng.normal(1.0, 1.0), -0.5, 3.0)),
        breath=float(np.clip(rng.exponential(0.07), 0, 0.45)),
        clearness=float(rng.uniform(0.9, 2.2)),
        vibrato_hertz=float(rng.uniform(4.6, 6.8)),
        vibrato_cents=float(rng.choice([0, rng.uniform(10, 40), rng.uniform(40, 110)], p=[0.25, 0.45, 0.3])),
        vibrato_delay=float(rng.uniform(0.05, 0.5)),
        glide_seconds=0.012 if tuned else float(rng.uniform(0.04, 0.18)),
        scoop_cents=0.0 if tuned else float(rng.choice([0, rng.uniform(50, 350)], p=[0.4, 0.6])),
        drift_cents=1.0 if tuned else float(rng.uniform(3, 14)),
        late_seconds=float(rng.normal(0, 0.012)),
        growl=float(rng.uniform(0.15, 0.6)) if rng.random() < 0.12 else 0.0,
        fade_above=float(rng.uniform(1.0, 3.5)),
        wordless=str(rng.choice(["", "ooh", "aah"], p=[0.93, 0.03, 0.04])),
    )


def sung(voice: Voice, manner: Manner, phrases: Sequence[Phrase], seconds: float, rng: np.random.Generator) -> Floats:
    """All phrases on one track at VOICE_RATE."""
    track = np.zeros(int(seconds * VOICE_RATE) + 1)
    for phrase in phrases:
        if phrase and phrase[0].start_seconds < seconds:
            start, sound = sung_phrase(voice, manner, phrase, rng)
            _add(track, start, sound)
    return track


def sung_phrase(voice: Voice, manner: Manner, phrase: Phrase, rng: np.random.Generator) -> tuple[float, Floats]:
    """Second at which the first consonant starts, and the sound at VOICE_RATE."""
    spans = syllable_spans(phrase)
    rows = held_rows(voice, manner.wordless, len(spans), rng) if manner.wordless else taken_rows(voice, len(spans), rng)
    out, into = time_map(spans, rows, sustained=bool(manner.wordless))
    times = np.arange(out[0], out[-1], FRAME_SECONDS)
    source = np.interp(times, out, into)
    hertz = melody(phrase, manner, times, rng)
    return times[0] + manner.late_seconds, _synthesised(voice, manner, source, hertz, _gains(phrase, times, rng), rng)


def spoken(voice: Voice, manner: Manner, out: Floats, into: Floats, pitch: float, rng: np.random.Generator) -> Floats:
    """Speech with its own melody, moved by `pitch` (a ratio) and warped from frames `into` to seconds `out`."""
    times = np.arange(out[0], out[-1], FRAME_SECONDS)
    source = np.interp(times, out, into)
    own = voice.hertz.astype(float)
    filled = np.interp(np.arange(len(own)), np.flatnonzero(own > 0), own[own > 0])
    hertz = np.interp(source, np.arange(len(own)), filled)
    middle = np.median(hertz)
    hertz = pitch * middle * (hertz / middle) ** rng.uniform(0.7, 1.6)
    return _synthesised(voice, manner, source, hertz, np.zeros(len(times)), rng)


def syllable_spans(phrase: Sequence[Sung]) -> list[tuple[float, float]]:
    """(start, end) of each syllable; slurred notes belong to the one before."""
    spans: list[tuple[float, float]] = []
    for note in phrase:
        end = note.start_seconds + note.length_seconds
        if note.slur and spans:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((note.start_seconds, end))
    return spans


def taken_rows(voice: Voice, count: int, rng: np.random.Generator) -> Floats:
    """`count` syllables as they follow each other, with a new clip where one ends."""
    rows: list[int] = []
    while len(rows) < count:
        index = int(rng.integers(len(voice.syllables)))
        while index < len(voice.syllables) and len(rows) < count:
            rows.append(index)
            if voice.syllables[index, 3]:
                break
            index += 1
    return voice.syllables[rows].astype(float)


def held_rows(voice: Voice, vowel: str, count: int, rng: np.random.Generator) -> Floats:
    """The same vowel for every note, the darkest of the voice's for "ooh", an open one for "aah"."""
    envelope = np.stack([voice.envelope[row[1] : row[2]].astype(float).mean(axis=0) for row in voice.syllables])
    openness = loudness(envelope, 600, 1300) - loudness(envelope, 200, 450)
    bright = loudness(envelope, 1400, 3000) - loudness(envelope, 200, 1000)
    order = np.argsort(openness + bright if vowel == "ooh" else bright - 2 * openness)
    row = voice.syllables[order[int(rng.integers(max(len(order) // 10, 1)))]].astype(float)
    return np.tile(row, (count, 1))


def time_map(spans: list[tuple[float, float]], rows: Floats, *, sustained: bool) -> tuple[Floats, Floats]:
    """Seconds of the song and the voice's frames at them. Vowels start on the note; consonants keep their pace."""
    lead_ins = np.clip((rows[:, 1] - rows[:, 0]) * FRAME_SECONDS, 0, 0.25)
    out, into = [], []
    for index, ((start, end), (first, vowel, vowel_end, _)) in enumerate(zip(spans, rows, strict=True)):
        follows = lead_ins[index + 1] if index + 1 < len(spans) else 0.0
        held = end - min(follows, 0.45 * (end - start))
        if not sustained or index == 0:
            before = min(lead_ins[0], 0.2) if index == 0 else start - out[-1]
            out += [start - before + 1e-6]
            into += [vowel if sustained else first]
        length = (vowel_end - vowel) * FRAME_SECONDS
        head, tail = min(HEAD_SECONDS, 0.3 * length, 0.3 * (held - start)), min(0.3 * length, 0.3 * (held - start))
        out += [start, start + head, held - tail, held]
        into += [vowel, vowel + head / FRAME_SECONDS, vowel_end - tail / FRAME_SECONDS, vowel_end]
    return np.array([*out, out[-1] + RELEASE_SECONDS]), np.array([*into, into[-1]], dtype=float)


def melody(phrase: Phrase, manner: Manner, times: Floats, rng: np.random.Generator) -> Floats:
    """Hertz at each time: glides, scoops, vibrato on held notes, drift and flutter."""
    starts = np.array([note.start_seconds for note in phrase])
    which = np.clip(np.searchsorted(starts, times + manner.glide_seconds / 3, "right") - 1, 0, None)
    keys = np.array([note.pitch for note in phrase], dtype=float)[which]
    window = np.hanning((round(manner.glide_seconds / FRAME_SECONDS) | 1) + 2)
    glided = np.convolve(np.pad(keys, len(window) // 2, mode="edge"), window / window.sum(), "valid")
    since = np.clip(times - starts[which], 0, None)
    lengths = np.array([note.length_seconds for note in phrase])[which]
    depth = manner.vibrato_cents * np.clip((since - manner.vibrato_delay) / 0.35, 0, 1) * (lengths > 0.35)
    rate = manner.vibrato_hertz * (1 + 0.04 * slow(len(times), 0.5, rng))
    vibrato = depth * np.sin(2 * np.pi * (np.cumsum(rate) * FRAME_SECONDS + rng.uniform()))
    scooped = (rng.random(len(phrase)) < 0.25) | (np.arange(len(phrase)) == 0)
    scoop = -manner.scoop_cents * scooped[which] * np.exp(-since / rng.uniform(0.03, 0.08))
    left = np.clip(phrase[-1].start_seconds + phrase[-1].length_seconds - times, 0, None)
    fall = -rng.uniform(100, 500) * np.exp(-left / 0.05) * (rng.random() < 0.2) * (manner.scoop_cents > 0)
    flutter = rng.normal(0, 0.35 * manner.drift_cents, len(times))
    cents = vibrato + scoop + fall + flutter + manner.drift_cents * slow(len(times), 0.25, rng)
    return np.asarray(440.0 * 2 ** ((glided + cents / 100 - 69) / 12))


def slow(frames: int, seconds: float, rng: np.random.Generator) -> Floats:
    """A random curve of about unit size that takes `seconds` to change its mind."""
    step = seconds / FRAME_SECONDS
    points = rng.normal(0, 1, int(frames / step) + 3)
    return np.interp(np.arange(frames) / step, np.arange(len(points)), points)


def _gains(phrase: Phrase, times: Floats, rng: np.random.Generator) -> Floats:
    """Log power above the usual: higher notes are louder, phrases swell, notes differ."""
    starts = np.array([note.start_seconds for note in phrase])
    pitches = np.array([note.pitch for note in phrase], dtype=float)
    levels = 0.12 * (pitches - pitches.mean()) + rng.normal(0, 0.4, len(phrase))
    which = np.clip(np.searchsorted(starts, times, "right") - 1, 0, None)
    place = (times - times[0]) / max(times[-1] - times[0], 0.1)
    since = np.clip(times - starts[which], 0, None)
    swell = rng.normal(0, 0.5) * np.sin(np.pi * place) - rng.uniform(0, 0.8) * np.clip(since - 0.3, 0, 2)
    return np.convolve(np.pad(levels[which] + swell, 4, mode="edge"), np.ones(9) / 9, "valid")


def _synthesised(
    voice: Voice, manner: Manner, source: Floats, hertz: Floats, gains: Floats, rng: np.random.Generator
) -> Floats:
    place = np.clip(source, 0, len(voice.hertz) - 1.001)
    low = place.astype(int)
    share = (place - low)[:, None]
    envelope = voice.envelope[low].astype(float) * (1 - share) + voice.envelope[low + 1].astype(float) * share
    noise = voice.noise[low].astype(float) * (1 - share) + voice.noise[low + 1].astype(float) * share
    voiced = np.where(voice.hertz > 0, 1.0, 0.0)
    is_voiced = voiced[low] * (1 - share[:, 0]) + voiced[low + 1] * share[:, 0] > 0.5
    envelope, noise = _extended(envelope, noise, voice.band_hertz, manner.fade_above)
    envelope = _shaped(envelope, is_voiced, gains, manner, rng)
    harmonics = (1 - noise**manner.clearness) * (1 - manner.breath * np.clip(NOISE_HERTZ / 3000, 0.15, 1))
    log_power = _blurred(envelope) @ weights(GRID_HERTZ, BIN_HERTZ / manner.formants)
    aperiodic = np.clip(1 - harmonics, 0.002, 0.999) @ weights(NOISE_HERTZ, BIN_HERTZ)
    pitch = np.where(is_voiced, np.clip(hertz, 50, 1400), 0.0)
    sound = synthesised(pitch, log_power, aperiodic, rng)
    return np.asarray(_growled(sound, pitch, manner.growl, rng) * _fades(len(sound)))


def _extended(envelope: Floats, noise: Floats, band_hertz: float, fade: float) -> tuple[Floats, Floats]:
    """Above a narrow recording's band: its last octave's level, fading, and mostly noise."""
    edge = 0.9 * band_hertz
    above = edge < GRID_HERTZ
    if not np.any(above) or band_hertz > 11_500:
        return envelope, noise
    level = envelope[:, (0.72 * edge < GRID_HERTZ) & ~above].mean(axis=1, keepdims=True)
    envelope[:, above] = level - fade * np.log2(GRID_HERTZ[above] / (0.85 * edge))
    noise[:, edge < NOISE_HERTZ] = np.maximum(noise[:, edge < NOISE_HERTZ], 0.75)
    return envelope, noise


def _shaped(envelope: Floats, is_voiced: Floats, gains: Floats, manner: Manner, rng: np.random.Generator) -> Floats:
    """Levels evened, then the manner's colour, the effort's brightness and the throat's slow wander."""
    level = loudness(envelope, 150, 4000)
    even = np.where(is_voiced, np.clip(LOUD - level, -5, 5), 0.0)
    width = 25
    weight = np.convolve(np.pad(is_voiced * 1.0, width, mode="edge"), np.hanning(2 * width + 1), "valid") + 0.5
    even = np.convolve(np.pad(even, width, mode="edge"), np.hanning(2 * width + 1), "valid") / weight
    wander = np.stack([slow(len(level), seconds, rng) for seconds in (0.15, 0.3, 0.4, 0.8)], axis=1)
    waves = np.stack([np.cos(np.linspace(0, np.pi * turns, len(GRID_HERTZ))) for turns in (3, 5, 8, 12)])
    ring = manner.ring * np.exp(-(((GRID_HERTZ * manner.formants - 2900) / 600) ** 2))
    colour = (manner.tilt * OCTAVES + ring) * is_voiced[:, None]
    bright = 0.25 * np.clip(gains, -2, 2)[:, None] * OCTAVES * is_voiced[:, None]
    shaped = envelope + (0.8 * even + gains)[:, None] + colour + bright + 0.16 * wander @ waves
    hiss = loudness(shaped, 1500, 11_000)
    too_loud = np.where(is_voiced, 0.0, np.clip(hiss - (LOUD - HISS_BELOW), 0, None))
    return np.asarray(shaped - too_loud[:, None])


def _blurred(envelope: Floats) -> Floats:
    """Three frames' mean, so that a jump between clips does not click."""
    padded = np.pad(envelope, ((1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


def _growled(sound: Floats, pitch: Floats, depth: float, rng: np.random.Generator) -> Floats:
    if depth == 0.0:
        return sound
    hertz = np.interp(np.arange(len(sound)) / VOICE_RATE / FRAME_SECONDS, np.arange(len(pitch)), pitch)
    amount = depth * np.clip(slow(len(pitch), 0.4, rng) + 0.5, 0, 1)
    amount = np.interp(np.linspace(0, 1, len(sound)), np.linspace(0, 1, len(pitch)), amount)
    return np.asarray(sound * (1 + amount * np.sin(np.pi * np.cumsum(hertz) / VOICE_RATE)))


def _fades(samples: int) -> Floats:
    shape = np.ones(samples)
    first, last = min(240, samples // 2), min(round(RELEASE_SECONDS * VOICE_RATE), samples // 2)
    shape[:first] = np.linspace(0, 1, first)
    shape[samples - last :] *= np.cos(np.linspace(0, np.pi / 2, last)) ** 2
    return shape


def _add(track: Floats, start_seconds: float, sound: Floats) -> None:
    first = round(start_seconds * VOICE_RATE)
    sound = sound[max(-first, 0) :]
    first = max(first, 0)
    room = min(len(sound), len(track) - first)
    if room > 0:
        track[first : first + room] += sound[:room]
