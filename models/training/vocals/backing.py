"""Who else sings: doubles, harmonies in the melody's key, choirs, long vowels behind, calls in the gaps. Notes only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from training.score.notes import Phrase, Sung

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.vocals.timbre import Floats

MAJOR = (0, 2, 4, 5, 7, 9, 11)
PLANS = ("solo", "double", "harmony", "choir", "pads", "big")
PLAN_ODDS = (0.36, 0.17, 0.17, 0.1, 0.12, 0.08)


@dataclass(frozen=True)
class Layer:
    """Phrases for one more track. `same_voice`: the lead's own voice sings it."""

    phrases: tuple[Phrase, ...]
    gain: float
    pan: float  # -1 … 1
    same_voice: bool = False
    wordless: str = ""


def planned(phrases: Sequence[Phrase], rng: np.random.Generator) -> list[Layer]:
    """The layers behind a lead."""
    plan = str(rng.choice(PLANS, p=PLAN_ODDS))
    part = _section(phrases, rng)
    layers: list[Layer] = []
    if plan in {"double", "big"}:
        side, gain = rng.uniform(0, 1), rng.uniform(0.25, 0.9)
        pans = (-side, side) if rng.random() < 0.4 else (side,)
        layers += [Layer(part, gain, pan, same_voice=True) for pan in pans]
    if plan in {"harmony", "big"}:
        steps = rng.permutation([2, -3, 4, -5, 7, -7])[: int(rng.integers(1, 3))]
        layers += [_harmony(part, phrases, int(step), rng) for step in steps]
    if plan == "choir":
        steps = rng.choice([0, 0, 2, 4, -3, -7], 4, replace=False)
        layers += [_harmony(part, phrases, int(step), rng) for step in steps]
    if plan == "pads":
        vowel = str(rng.choice(["ooh", "aah"]))
        layers += [_pad(part, phrases, step, vowel, rng) for step in (0, 2, 4)]
    if rng.random() < 0.18:
        layers.append(_calls(phrases, rng))
    return layers


def _section(phrases: Sequence[Phrase], rng: np.random.Generator) -> tuple[Phrase, ...]:
    """All phrases, or a stretch of them as a refrain has; at most about 25 s are stacked."""
    sung_seconds = sum(
        phrase[-1].start_seconds + phrase[-1].length_seconds - phrase[0].start_seconds for phrase in phrases
    )
    count = len(phrases) if rng.random() < 0.3 else int(rng.integers(1, len(phrases) + 1))
    count = max(1, min(count, int(len(phrases) * 25 / max(sung_seconds, 25))))
    first = int(rng.integers(len(phrases) - count + 1))
    return tuple(phrases[first : first + count])


def scale(phrases: Sequence[Phrase]) -> list[int]:
    """The major scale's pitch classes that hold most of the melody."""
    weights: Floats = np.zeros(12)
    for note in (note for phrase in phrases for note in phrase):
        weights[round(note.pitch) % 12] += note.length_seconds
    tonic = max(range(12), key=lambda key: sum(weights[(key + step) % 12] for step in MAJOR) + 0.1 * weights[key])
    return sorted((tonic + step) % 12 for step in MAJOR)


def moved(pitch: float, steps: int, classes: list[int]) -> float:
    """`pitch` moved by steps of the scale; a note outside the scale counts as its lower neighbour."""
    ladder = [12 * octave + step for octave in range(11) for step in classes]
    place = max(int(np.searchsorted(ladder, round(pitch), "right")) - 1, 0)
    return float(ladder[int(np.clip(place + steps, 0, len(ladder) - 1))])


def _harmony(part: tuple[Phrase, ...], phrases: Sequence[Phrase], steps: int, rng: np.random.Generator) -> Layer:
    classes = scale(phrases)
    higher = tuple(
        tuple(replace(note, pitch=moved(note.pitch, steps, classes) if steps else note.pitch) for note in phrase)
        for phrase in part
    )
    return Layer(higher, rng.uniform(0.25, 0.7), rng.uniform(-0.9, 0.9), same_voice=bool(rng.random() < 0.4))


def _pad(
    part: tuple[Phrase, ...], phrases: Sequence[Phrase], steps: int, vowel: str, rng: np.random.Generator
) -> Layer:
    """One long vowel a phrase or two, on the phrase's most held pitch and the scale's thirds above it."""
    classes = scale(phrases)
    long_notes = []
    for phrase in part:
        start, end = phrase[0].start_seconds, phrase[-1].start_seconds + phrase[-1].length_seconds
        halves = np.linspace(start, end, 2 + int(end - start > 3))
        for first, last in itertools.pairwise(halves):
            inside = [note for note in phrase if note.start_seconds <= last] or list(phrase)
            pitch = moved(max(inside, key=lambda note: note.length_seconds).pitch, steps, classes)
            long_notes.append((Sung(float(first), float(last - first), pitch),))
    return Layer(tuple(long_notes), rng.uniform(0.2, 0.5), rng.uniform(-1, 1), wordless=vowel)


def _calls(phrases: Sequence[Phrase], rng: np.random.Generator) -> Layer:
    """Short answers where the lead breathes."""
    calls: list[Phrase] = []
    for phrase, after in itertools.pairwise(phrases):
        end = phrase[-1].start_seconds + phrase[-1].length_seconds
        room = after[0].start_seconds - end
        if room > 0.6 and rng.random() < 0.6:
            count = int(rng.integers(1, 4))
            length = min(room * 0.8 / count, 0.5)
            pitches = [phrase[-1].pitch + float(step) for step in rng.choice([0, 2, 5, 7, 12], count)]
            starts = end + 0.1 + length * np.arange(count)
            calls.append(tuple(Sung(float(s), length, p) for s, p in zip(starts, pitches, strict=True)))
    return Layer(tuple(calls), rng.uniform(0.3, 0.9), rng.uniform(-0.8, 0.8), same_voice=bool(rng.random() < 0.6))
