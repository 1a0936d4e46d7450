"""Melodies: motifs that come again, bent to the chords; as notes for a lead or as phrases for a voice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from training.score.notes import Phrase, Sung

SHORTEST_SYLLABLE_SECONDS = 0.12


def ladder(key: int, scale: Sequence[int], low: int, high: int) -> list[int]:
    """The scale's pitches between two MIDI numbers."""
    return [pitch for pitch in range(low, high + 1) if (pitch - key) % 12 in scale]


def motif_steps(rng: np.random.Generator, total: int, shortest: int, dense: float) -> list[int]:
    """Note lengths in steps that fill `total`; `dense` 0 … 1 prefers short ones."""
    lengths: list[int] = []
    choices = np.array([1, 2, 2, 3, 4, 4, 6, 8, 12])
    choices = choices[choices >= shortest]
    weights = choices.astype(float) ** (-2.2 * dense + 0.3)
    while sum(lengths) < total:
        lengths.append(int(rng.choice(choices, p=weights / weights.sum())))
    lengths[-1] = max(lengths[-1] - (sum(lengths) - total), shortest)
    return lengths


def walk(rng: np.random.Generator, count: int, start: int, size: int, leap: float) -> list[int]:
    """Places on a ladder of `size` rungs: mostly steps, some repeats, few leaps."""
    places = [start]
    for _ in range(count - 1):
        move = int(rng.choice([-1, 1, 0, -2, 2])) if rng.random() > leap else int(rng.integers(-5, 6))
        places.append(int(np.clip(places[-1] + move, 0, size - 1)))
    return places


def bent(pitch: int, tones: Sequence[int]) -> int:
    """The chord tone nearest to a pitch."""
    return min(
        (pitch + move for move in (0, 1, -1, 2, -2, 3, -3)), key=lambda p: ((p % 12) not in tones, abs(p - pitch))
    )


def shifted(phrase: Phrase, steps: int, scale: Sequence[int]) -> Phrase:
    rungs = ladder(0, [pitch % 12 for pitch in scale], 24, 108)
    places = [int(np.argmin([abs(rung - note.pitch) for rung in rungs])) for note in phrase]
    return tuple(replace(n, pitch=float(rungs[i + steps])) for n, i in zip(phrase, places, strict=True))


class Singer:
    """One song's vocal lines: each kind of section keeps its own two motifs."""

    def __init__(
        self, at: Callable[[float], float], bar_steps: int, key: int, scale: Sequence[int], rng: np.random.Generator
    ) -> None:
        self.at, self.bar_steps, self.rng = at, bar_steps, rng
        low = int(rng.integers(45, 62))
        self.rungs = ladder(key, scale, low, low + int(rng.integers(10, 19)))
        step_seconds = (at(bar_steps) - at(0)) / bar_steps
        self.shortest = 1 if step_seconds > SHORTEST_SYLLABLE_SECONDS else 2
        self.dense, self.leap = rng.uniform(0.2, 1.0), rng.uniform(0.02, 0.2)
        self.slur, self.bars = rng.uniform(0, 0.2), 2 if step_seconds * bar_steps < 2.6 else 1
        self.motifs: dict[str, list[tuple[int, list[int], list[int]]]] = {}

    def _motif(self, kind: str) -> tuple[int, list[int], list[int]]:
        if kind not in self.motifs:
            self.motifs[kind] = [self._new() for _ in range(int(self.rng.integers(1, 4)))]
        known = self.motifs[kind]
        return known[int(self.rng.integers(len(known)))]

    def _new(self) -> tuple[int, list[int], list[int]]:
        rng, room = self.rng, self.bars * self.bar_steps
        total = max(int(room * rng.uniform(0.5, 0.95)), 4)
        lengths = motif_steps(rng, total, self.shortest, self.dense)
        start = int(rng.integers(len(self.rungs)))
        places = walk(rng, len(lengths), start, len(self.rungs), self.leap)
        return int(rng.choice([0, 0, 0, 2, 4])), lengths, places

    def section(self, kind: str, start_bar: int, bars: int, chords: Sequence) -> list[Phrase]:
        return [
            self._phrase(self._motif(kind), (start_bar + bar) * self.bar_steps, chords)
            for bar in range(0, bars, self.bars)
            if self.rng.random() < 0.92
        ]

    def _phrase(self, motif: tuple[int, list[int], list[int]], first: int, chords: Sequence) -> Phrase:
        late, lengths, places = motif
        step, notes = first + late, []
        for count, (length, place) in enumerate(zip(lengths, places, strict=True)):
            tones = next((c.tones for c in chords if c.start <= step < c.start + c.steps), ())
            pitch = self.rungs[place]
            pitch = bent(pitch, tones) if tones and (length >= 4 or step % 4 == 0) else pitch
            start, end = self.at(step), self.at(step + length)
            slur = count > 0 and bool(self.rng.random() < self.slur)
            notes.append(Sung(start, end - start, float(pitch), slur))
            step += length
        return tuple(notes)
