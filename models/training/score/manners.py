"""Ways to play a chord sequence: bass patterns, comping, strumming, arpeggios, riffs, leads. Notes in steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.score.tunes import bent, ladder, motif_steps, walk

Note = tuple[float, float, int, float]  # start and length in steps (sixteenths), MIDI pitch, velocity


@dataclass(frozen=True)
class Chord:
    start: int  # steps from the song's start
    steps: int
    root: int  # pitch classes
    tones: tuple[int, ...]


# A bar of bass: R root, 8 octave, 5 fifth, 3 third, 7 seventh, b a step below the next root, - held, . silent.
BASS = {
    "root": ("R---------------", "R-------R-------", "R-----R-R-----R-"),
    "held": ("R---------------", "R-----------5---"),
    "eighths": ("R.R.R.R.R.R.R.R.", "R-R-R-R-R-R-R-R-", "R-R-R-R-R-R-5-b-", "R-R-R-R-R-R-R-8-"),
    "sixteenths": ("RRRRRRRRRRRRRRRR", "R.RRR.RRR.RRR.RR", ".RRR.RRR.RRR.RRR"),
    "octave": ("R-8-R-8-R-8-R-8-", "R.8.R.8.R.8.R.8.", "R-..8-..R-R.8-..", "RR8.RR8.RR8.R58."),
    "offbeat": ("..R-..R-..R-..R-", "..RR..RR..RR..R8", ".RR-.RR-.RR-.RR-"),
    "synco": ("R--R--R---5-..b-", "R-.R..R-..R-8.5-", "R--.R-R.8-..5-7-", "R--R----..R-5-8-", "R...R--R..5-..R-"),
    "slap": ("R..8.R.8R...8.7.", "R.R8..R.8.R..58.", "R...R.8.R.R8.7b."),
    "dub": ("R---..R-5---....", "....R-R-5---3---", "R-..R-..5-3-R---", "R-----..R-3-5-.."),
    "tumbao": ("......5-----8---", "R-....5-....8---", "...5--..8-......"),
    "bossa": ("R-----5-R-----5-", "R-----R-5-----5-"),
    "fifths": ("R---....5---....", "R-------5-------", "R---R---5---5---"),
    "boogie": ("R-3-5-6-7-6-5-3-", "R-R-3-3-5-5-6-5-"),
    "gallop": ("R.RRR.RRR.RRR.RR", "R-RRR-RRR-RRR-RR", "RRR.RRR.RRR.R.R."),
    "eight": ("R---------......", "R-----..R-------", "R--------...8---", "R-----R---......"),
}
STEP_OF = {"R": 0, "8": 12, "5": 7, "3": 4, "7": 10, "6": 9}


def bass(
    manner: str, chords: Sequence[Chord], bar: int, scale: Sequence[int], key: int, rng: np.random.Generator
) -> list[Note]:
    low = int(rng.integers(26, 34))
    if manner == "walk":
        return _walking(chords, low + 2, rng)
    lines = _riffs(rng) if manner == "riff" else BASS[manner]
    main, other = (str(rng.choice(lines)) for _ in range(2))
    gate, change = rng.uniform(0.55, 1.0), rng.uniform(0, 0.35)
    notes: list[Note] = []
    for index, chord in enumerate(chords):
        line = other if rng.random() < change else main
        following = chords[(index + 1) % len(chords)].root
        notes += _bass_bar(line, chord, bar, low, following, gate, [(key + step) % 12 for step in scale])
    return notes


def _riffs(rng: np.random.Generator) -> tuple[str, ...]:
    marks = rng.choice(list("R.-.R853"), size=(3, 16), p=[0.22, 0.14, 0.2, 0.14, 0.1, 0.08, 0.07, 0.05])
    return tuple("R" + "".join(row[1:]) for row in marks)


def _bass_bar(
    line: str, chord: Chord, bar: int, low: int, following: int, gate: float, allowed: Sequence[int]
) -> list[Note]:
    notes: list[Note] = []
    root, offset = low + (chord.root - low) % 12, chord.start % bar
    line = (line * 2)[offset : offset + chord.steps]
    line = line if line[0] not in "-" else "R" + line[1:]
    for place, mark in enumerate(line):
        if mark in "-.":
            continue
        held = len(line[place + 1 :]) - len(line[place + 1 :].lstrip("-")) + 1
        pitch = low + (following - low) % 12 - 1 if mark == "b" else root + STEP_OF[mark]
        if mark in "376":
            pitch = bent(pitch, (*chord.tones, *allowed) if mark == "6" else chord.tones)
        loud = 102 if place % 4 == 0 else 88
        notes.append((chord.start + place, max(held - (1 - gate), 0.4), pitch, loud))
    return notes


def _walking(chords: Sequence[Chord], low: int, rng: np.random.Generator) -> list[Note]:
    notes: list[Note] = []
    for index, chord in enumerate(chords):
        target = low + (chords[(index + 1) % len(chords)].root - low) % 12
        pitch = low + (chord.root - low) % 12
        for beat in range(0, chord.steps, 4):
            last = beat + 4 >= chord.steps
            if beat and last:
                pitch = target + int(rng.choice([-1, 1, 2, -2]))
            elif beat:
                pitch = bent(int(np.clip(pitch + rng.choice([2, 3, 4, -3, -2]), low - 2, low + 16)), chord.tones)
            notes.append((chord.start + beat, 3.7, pitch, 96))
            if rng.random() < 0.1:
                notes.append((chord.start + beat + 2, 1.5, pitch, 75))
    return notes


def voiced(chord: Chord, centre: int, spread: int = 0) -> list[int]:
    """The chord's tones each in the octave nearest to a centre; `spread` lifts every second one."""
    pitches = sorted(centre - 6 + (tone - centre + 6) % 12 for tone in chord.tones)
    return sorted(pitch + (12 * (i % 2) if spread else 0) for i, pitch in enumerate(pitches))


RHYTHMS = (
    "x...x...x...x...", "x.......x.......", "x.....x.x.....x.", "x..x..x...x..x..", "..x...x...x...x.", "x...x..x..x.x...",  # noqa: E501
    "x--x--x-x--x--x-", "x...............", "x.x.x.x.x.x.x.x.", "x..x..x..x..x.x.", "....x.......x...", "x--.x--.x--.x--.",  # noqa: E501
    "x.....x...x.....", "...x..x....x..x.", "x--x----x--x----",
)  # fmt: skip
STRUMS = (
    "D...D.UUD.DUD.DU",
    "D...D...D.U.D...",
    "D.D.D.D.D.D.D.D.",
    "D...DU..UD..DU..",
    "D.DUDUDUD.DUDUDU",
    "D.......D...D.U.",
)


def euclid(hits: int, steps: int, turn: int) -> str:
    marks = ["x" if (i * hits) % steps < hits else "." for i in range(steps)]
    return "".join(marks[turn:] + marks[:turn])


def other(
    manner: str, chords: Sequence[Chord], bar: int, scale: Sequence[int], key: int, rng: np.random.Generator
) -> list[Note]:
    """What an instrument plays under or over these chords."""
    if not chords:
        return []
    player = Player(bar, scale, key, rng)
    return getattr(player, manner)(chords)


class Player:
    """One part's player, with its own register, rhythm and touch."""

    def __init__(self, bar: int, scale: Sequence[int], key: int, rng: np.random.Generator) -> None:
        self.bar, self.scale, self.key, self.rng = bar, scale, key, rng
        self.centre = int(rng.integers(52, 74))
        self.loud, self.gate = rng.uniform(70, 108), rng.uniform(0.3, 1.0)
        self.spread = int(rng.random() < 0.3)

    def _rhythm(self) -> str:
        if self.rng.random() < 0.35:
            return euclid(int(self.rng.integers(2, 10)), self.bar, int(self.rng.integers(4)))
        return str(self.rng.choice(RHYTHMS))

    def _struck(self, chords: Sequence[Chord], rhythm: str, gate: float, low_root: bool = False) -> list[Note]:
        notes: list[Note] = []
        for chord in chords:
            pitches = voiced(chord, self.centre, self.spread)
            offset = 0 if len(rhythm) > 16 else chord.start % self.bar
            places = [i for i, mark in enumerate((rhythm * 2)[offset : offset + chord.steps]) if mark == "x"]
            for place, end in zip(places, [*places[1:], chord.steps], strict=False):
                length = max((end - place) * gate, 0.5)
                loud = self.loud + (8 if place % 4 == 0 else -4)
                notes += [(chord.start + place, length, pitch, loud) for pitch in pitches]
            if low_root:
                notes.append((chord.start, chord.steps * 0.95, 36 + (chord.root - 36) % 12, self.loud))
        return notes

    def comp(self, chords: Sequence[Chord]) -> list[Note]:
        return self._struck(chords, self._rhythm(), self.gate, bool(self.rng.random() < 0.4))

    def stab(self, chords: Sequence[Chord]) -> list[Note]:
        return self._struck(chords, self._rhythm(), self.gate * 0.5)

    def skank(self, chords: Sequence[Chord]) -> list[Note]:
        line = str(self.rng.choice(["....x.......x...", "..x...x...x...x.", "....x.x.....x.x."]))
        return self._struck(chords, line, 0.25)

    def jazzcomp(self, chords: Sequence[Chord]) -> list[Note]:
        notes: list[Note] = []
        for chord in chords:
            line = str(
                self.rng.choice(
                    ["x.....x.........", "..x.......x.....", "......x...x.....", "x...........x...", "..x..."]
                )
            )
            notes += self._struck([chord], line.ljust(16, "."), 0.4)
        return notes

    def pad(self, chords: Sequence[Chord]) -> list[Note]:
        line = "x" + "." * 31
        self.spread = int(self.rng.random() < 0.5)
        notes = self._struck(chords, line, self.rng.uniform(0.9, 1.05))
        return [note for note in notes if self.rng.random() < 0.95]

    def strum(self, chords: Sequence[Chord]) -> list[Note]:
        line, slow = str(self.rng.choice(STRUMS)), self.rng.uniform(0.02, 0.14)
        notes: list[Note] = []
        for chord in chords:
            strings = self._strings(chord)
            offset = chord.start % self.bar
            bar = (line * 2)[offset : offset + chord.steps]
            places = [i for i, mark in enumerate(bar) if mark in "DU"]
            for place, end in zip(places, [*places[1:], chord.steps], strict=False):
                order = strings if bar[place] == "D" else strings[::-1][: int(self.rng.integers(2, 5))]
                length = max((end - place) * self.gate, 0.6)
                loud = self.loud + (6 if bar[place] == "D" else -10)
                notes += [(chord.start + place + i * slow, length, pitch, loud) for i, pitch in enumerate(order)]
        return notes

    def _strings(self, chord: Chord) -> list[int]:
        """Six strings: the chord's tone next above each open string."""
        tuning = (40, 45, 50, 55, 59, 64)
        fret = int(self.rng.choice([0, 0, 0, 3, 5])) if self.rng.random() < 0.3 else 0
        pitches = [min(p for p in range(low + fret, low + fret + 12) if p % 12 in chord.tones) for low in tuning]
        lowest = next((i for i, pitch in enumerate(pitches) if pitch % 12 == chord.root), 0)
        return pitches[min(lowest, 2) :]

    def power(self, chords: Sequence[Chord]) -> list[Note]:
        line = str(
            self.rng.choice(
                ["x.x.x.x.x.x.x.x.", "x...............", "x..x..x.x..x..x.", "x.......x.x.x...", "x.....x.x......."]
            )
        )
        low = int(self.rng.integers(36, 46))
        for_each = [Chord(c.start, c.steps, c.root, (c.root, (c.root + 7) % 12)) for c in chords]
        roots = [low + (c.root - low) % 12 for c in for_each]
        notes: list[Note] = []
        for chord, root in zip(for_each, roots, strict=True):
            flat = self._struck([chord], line, self.gate)
            starts = sorted({(start, length) for start, length, _, _ in flat})
            notes += [(s, n, root + up, self.loud) for s, n in starts for up in (0, 7, 12)]
        return notes

    def gallop(self, chords: Sequence[Chord]) -> list[Note]:
        line = str(self.rng.choice(["x.xxx.xxx.xxx.xx", "xxxxxxxxxxxxxxxx", "xxx.xxx.xx.xx.x."]))
        low = int(self.rng.integers(33, 42))
        notes: list[Note] = []
        for chord in chords:
            root = low + (chord.root - low) % 12
            for place, mark in enumerate(line[: chord.steps]):
                if mark == "x":
                    notes += [(chord.start + place, 0.7, root + up, self.loud) for up in (0, 7)]
        return notes

    def arp(self, chords: Sequence[Chord]) -> list[Note]:
        step = int(self.rng.choice([1, 2, 2, 2, 3, 4]))
        shape, octaves = self.rng.permutation(8), int(self.rng.integers(1, 3))
        up = self.rng.random() < 0.5
        notes: list[Note] = []
        for chord in chords:
            pitches = [p + 12 * o for o in range(octaves) for p in voiced(chord, self.centre)]
            run = [*pitches, *pitches[-2:0:-1]] if up else [pitches[i % len(pitches)] for i in shape]
            for count, place in enumerate(range(0, chord.steps, step)):
                length = step * (self.gate if step < 3 else 1) * self.rng.choice([1, 1, 2])
                notes.append((chord.start + place, length, run[count % len(run)], self.loud))
        return notes

    def montuno(self, chords: Sequence[Chord]) -> list[Note]:
        line = str(self.rng.choice(["x.xx.xx.x.xx.xx.", "x..xx.x..x.xx.x.", "x.x.xx.x.xx.x.x."]))
        notes: list[Note] = []
        for chord in chords:
            pitches = voiced(chord, self.centre)
            places = [i for i, mark in enumerate(line[: chord.steps]) if mark == "x"]
            for count, place in enumerate(places):
                pitch = pitches[count % len(pitches)]
                notes += [(chord.start + place, 1.2, pitch + up, self.loud) for up in (0, 12)]
        return notes

    def riff(self, chords: Sequence[Chord]) -> list[Note]:
        """A motif of a bar or two that comes again and again, bent to each chord."""
        span = self.bar * int(self.rng.choice([1, 1, 2]))
        return self._melody(chords, span, kinds=int(self.rng.integers(1, 3)), rest=0.15)

    def lead(self, chords: Sequence[Chord]) -> list[Note]:
        self.centre = int(self.rng.integers(60, 82))
        return self._melody(chords, self.bar * 2, kinds=4, rest=self.rng.uniform(0.1, 0.3))

    def _melody(self, chords: Sequence[Chord], span: int, kinds: int, rest: float) -> list[Note]:
        rungs = ladder(self.key, self.scale, self.centre - 8, self.centre + 9)
        dense, leap = self.rng.uniform(0.1, 1.0), self.rng.uniform(0.03, 0.25)
        motifs = []
        for _ in range(kinds):
            lengths = motif_steps(self.rng, span, int(self.rng.choice([1, 2, 2])), dense)
            places = walk(self.rng, len(lengths), int(self.rng.integers(len(rungs))), len(rungs), leap)
            motifs.append((lengths, places, self.rng.random(len(lengths)) > rest))
        notes: list[Note] = []
        at = {step: chord for chord in chords for step in range(chord.start, chord.start + chord.steps)}
        for first in range(chords[0].start, chords[-1].start + chords[-1].steps, span):
            lengths, places, heard = motifs[int(self.rng.integers(kinds))]
            step = first
            for length, place, plays in zip(lengths, places, heard, strict=True):
                if plays and step in at:
                    pitch = bent(rungs[place], at[step].tones) if length > 2 else rungs[place]
                    notes.append((step, length * (0.5 + self.gate / 2), pitch, self.loud))
                step += length
        return notes
