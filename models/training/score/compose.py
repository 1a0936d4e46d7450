"""Writes songs: sections, chords, drums, bass, other instruments and a singer's lines. Makes no sound."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.score import manners, tunes
from training.score.drums import Drummer
from training.score.notes import STEMS, Hit, Phrase
from training.score.styles import MODES, PROGRESSIONS, STYLES, Style

KINDS = ("verse", "chorus", "bridge", "solo")
ORDERS = (
    ("intro", "verse", "chorus", "verse", "chorus", "outro"),
    ("verse", "verse", "chorus", "bridge", "chorus", "chorus"),
    ("intro", "verse", "chorus", "solo", "chorus", "outro"),
    ("chorus", "verse", "bridge", "chorus", "solo", "verse"),
    ("intro", "chorus", "verse", "chorus", "break", "chorus"),
    ("verse", "chorus", "break", "verse", "chorus", "chorus"),
)
QUIET = {"drums": 0.11, "bass": 0.09, "other": 0.07, "vocals": 0.12}


@dataclass(frozen=True)
class Clock:
    """Steps (sixteenths from the song's start) to seconds, with swing and a slow drift."""

    step_seconds: float
    swing: float = 0.0
    swing16: float = 0.0
    drift: float = 0.0
    phase: float = 0.0

    def at(self, step: float) -> float:
        beat, place = divmod(step, 4)
        late = min(place, 4 - place) / 2 * 2 * self.swing
        pair = place % 2
        late += min(pair, 2 - pair) * self.swing16
        seconds = (4 * beat + place + late) * self.step_seconds
        return float(seconds + self.drift * (np.sin(seconds / 9 + self.phase) - np.sin(self.phase)))


@dataclass(frozen=True)
class Section:
    """Bars of one kind and the stems that are heard in them."""

    kind: str
    start_bar: int
    bars: int
    stems: frozenset[str]


@dataclass(frozen=True)
class Part:
    """One instrument's notes; `family` says which sounds may play it."""

    stem: str
    manner: str
    family: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Score:
    """A whole song on paper."""

    style: str
    bpm: float
    key: int
    mode: str
    duck: bool
    kicks: tuple[float, ...]  # seconds
    loops: tuple[tuple[float, float], ...]  # sections of drums, seconds, where a recorded loop may play
    parts: tuple[Part, ...]
    phrases: tuple[Phrase, ...] = ()
    backing: tuple[Phrase, ...] = ()
    talk: tuple[float, ...] = ()
    kits: tuple[str, ...] = field(default=("acoustic",))


def compose(rng: np.random.Generator, seconds: float) -> Score:
    name = str(rng.choice(list(STYLES)))
    return Composer(name, STYLES[name], rng, seconds).score()


class Composer:
    """One song's writer: the frame first, then part by part."""

    def __init__(self, name: str, style: Style, rng: np.random.Generator, seconds: float) -> None:
        self.name, self.style, self.rng, self.seconds = name, style, rng, seconds
        self.bpm = float(rng.uniform(*style.bpm))
        self.bar_steps = {4: 16, 3: 12, 6: 12}[style.beats]
        swing = style.swing * rng.uniform(0.6, 1.1)
        sixteenth = 15 / self.bpm if style.beats != 6 else 10 / self.bpm
        drift = rng.uniform(0, 0.05) if rng.random() < 0.3 else 0.0
        self.clock = Clock(sixteenth, swing, style.swing16 * rng.uniform(0, 1.2), drift, rng.uniform(0, 6))
        self.bars = int(np.ceil(seconds / (self.bar_steps * sixteenth)))
        self.key, self.mode = int(rng.integers(12)), str(rng.choice(style.modes))
        self.sections = self._sections()
        self.chords = self._chords()

    def score(self) -> Score:
        drums, kicks = self._drums()
        parts = [drums, self._bass(), *self._others()]
        phrases, talk = self._vocals()
        duck = bool(self.rng.random() < self.style.duck)
        return Score(
            self.name, self.bpm, self.key, self.mode, duck, kicks, self._loops(),
            tuple(part for part in parts if part.hits), phrases, self._backing(phrases), talk, self.style.kits,
        )  # fmt: skip

    def _sections(self) -> list[Section]:
        rng, unit = self.rng, int(self.rng.choice([2, 4, 4, 4, 8]))
        order = ORDERS[int(rng.integers(len(ORDERS)))]
        length = max(min(unit, self.bars // 4), 1)
        absent = {
            stem for stem in STEMS if rng.random() < {"vocals": 0.08, "drums": 0.05, "bass": 0.04}.get(stem, 0.01)
        }
        kinds = [order[i % len(order)] for i in range(-(-self.bars // length))]
        return [Section(kind, i * length, length, self._heard(kind, absent)) for i, kind in enumerate(kinds)]

    def _heard(self, kind: str, absent: set[str]) -> frozenset[str]:
        more = {"intro": 2.4, "break": 2.2, "outro": 1.6, "bridge": 1.2, "chorus": 0.4}.get(kind, 1.0)
        heard = {stem for stem in STEMS if self.rng.random() > QUIET[stem] * more} - absent
        if kind in ("intro", "solo") and self.rng.random() < 0.7:
            heard.discard("vocals")
        return frozenset(heard or {"other"})

    def _chords(self) -> list[manners.Chord]:
        rng, scale = self.rng, MODES[self.mode]
        pool = PROGRESSIONS[str(rng.choice(self.style.harmony))]
        slot = self.bar_steps // (2 if rng.random() < 0.2 else 1)
        tunes_of = {kind: pool[int(rng.integers(len(pool)))] for kind in KINDS}
        chords = []
        for section in self.sections:
            degrees = tunes_of.get(section.kind, tunes_of["verse"])
            count = section.bars * self.bar_steps // slot
            first = section.start_bar * self.bar_steps
            chords += [self._chord(first + i * slot, slot, degrees[i % len(degrees)], scale) for i in range(count)]
        return chords

    def _chord(self, start: int, steps: int, degree: int, scale: tuple[int, ...]) -> manners.Chord:
        thirds = 4 if self.rng.random() < self.style.sevenths else 3
        thirds += thirds == 4 and self.rng.random() < 0.3
        pitches = [self.key + scale[(degree + 2 * i) % 7] + 12 * ((degree + 2 * i) // 7) for i in range(thirds)]
        if thirds == 3 and self.rng.random() < 0.08:
            pitches[1] = self.key + scale[(degree + 3) % 7]  # suspended
        return manners.Chord(start, steps, pitches[0] % 12, tuple(pitch % 12 for pitch in pitches))

    def _heard_chords(self, stem: str, kinds: set[str] | None = None) -> list[manners.Chord]:
        spans = [
            (s.start_bar * self.bar_steps, (s.start_bar + s.bars) * self.bar_steps)
            for s in self.sections
            if stem in s.stems and (kinds is None or s.kind in kinds)
        ]
        return [chord for chord in self.chords if any(a <= chord.start < b for a, b in spans)]

    def _hits(self, notes: list[manners.Note], loose_seconds: float) -> tuple[Hit, ...]:
        """Notes in steps to hits in seconds, as uneven as a player; all end with the song."""
        hits = []
        for start, steps, pitch, velocity in notes:
            begin = self.clock.at(start) + abs(self.rng.normal(0, loose_seconds))
            length = max(min(self.clock.at(start + steps), self.seconds) - begin, 0.03)
            if begin < self.seconds - 0.1:
                strength = int(np.clip(velocity + self.rng.normal(0, 6), 10, 127))
                hits.append(Hit(float(begin), float(length), int(pitch), strength))
        return tuple(hits)

    def _drums(self) -> tuple[Part, tuple[float, ...]]:
        drummer, notes = Drummer(self.style.grooves, self.bar_steps, self.rng), []
        for section in self.sections:
            if "drums" not in section.stems:
                continue
            for bar in range(section.bars):
                fresh, last = bar == 0 and section.kind != "intro", bar == section.bars - 1
                strikes = drummer.bar(section.kind, fresh, last)
                first = (section.start_bar + bar) * self.bar_steps
                notes += [(first + strike.step, 1.0, strike.key, strike.velocity) for strike in strikes]
        hits = self._hits(notes, self.rng.uniform(0.0, 0.006))
        return Part("drums", "kit", "kit", hits), tuple(hit.start_seconds for hit in hits if hit.pitch in (35, 36))

    def _loops(self) -> tuple[tuple[float, float], ...]:
        spans = [(s.start_bar, s.start_bar + s.bars) for s in self.sections if "drums" in s.stems]
        return tuple((self.clock.at(a * self.bar_steps), self.clock.at(b * self.bar_steps)) for a, b in spans)

    def _bass(self) -> Part:
        manner, sound = str(self.rng.choice(self.style.bass)), str(self.rng.choice(self.style.bass_sounds))
        notes = manners.bass(manner, self._heard_chords("bass"), self.bar_steps, MODES[self.mode], self.key, self.rng)
        return Part("bass", manner, sound, self._hits(notes, 0.005))

    def _others(self) -> list[Part]:
        rng, names = self.rng, self.style.others
        weights = 1 / np.arange(1.5, len(names) + 1.5)
        count = min(int(rng.choice([1, 2, 3, 3, 4, 4, 5])), len(names))
        chosen = rng.choice(names, size=count, replace=False, p=weights / weights.sum())
        return [self._other(str(name), solo=count == 1) for name in chosen]

    def _other(self, name: str, solo: bool) -> Part:
        manner, family = name.split(":")
        every = sorted({section.kind for section in self.sections})  # a set's order differs from run to run
        kinds = set(every) if solo else {kind for kind in every if self.rng.random() < 0.75} or set(every)
        if manner == "lead":
            kinds = {"solo", "intro", "bridge", "break", "outro"} | ({"chorus"} if self.rng.random() < 0.4 else set())
        chords = self._heard_chords("other", kinds)
        notes = manners.other(manner, chords, self.bar_steps, MODES[self.mode], self.key, self.rng)
        return Part("other", manner, family, self._hits(notes, self.rng.uniform(0.002, 0.012)))

    def _vocals(self) -> tuple[tuple[Phrase, ...], tuple[float, ...]]:
        singer = tunes.Singer(self.clock.at, self.bar_steps, self.key, MODES[self.mode], self.rng)
        raps = {kind for kind in ("verse", "bridge", "break") if self.rng.random() < self.style.talk}
        phrases: list[Phrase] = []
        talk: list[float] = []
        for section in self.sections:
            if "vocals" not in section.stems:
                continue
            if section.kind in raps:
                talk += [self.clock.at(step) for step in self._rapped(section)]
            else:
                phrases += singer.section(section.kind, section.start_bar, section.bars, self.chords)
        fitting = [phrase for phrase in phrases if phrase[-1].start_seconds + phrase[-1].length_seconds < self.seconds]
        return tuple(fitting), tuple(start for start in talk if start < self.seconds - 3)

    def _rapped(self, section: Section) -> list[float]:
        """A syllable's start each; in some sections only the starts of spoken lines."""
        first, shortest = section.start_bar * self.bar_steps, 1 if self.clock.step_seconds > 0.11 else 2
        if self.rng.random() < 0.2:
            return [first + bar * self.bar_steps for bar in range(0, section.bars, 2)]
        flow = tunes.motif_steps(self.rng, 2 * self.bar_steps - int(self.rng.integers(2, 7)), shortest, 1.0)
        starts = np.concatenate([[0], np.cumsum(flow)[:-1]])
        return [float(first + bar * self.bar_steps + start) for bar in range(0, section.bars, 2) for start in starts]

    def _backing(self, phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
        """A second voice, some steps of the scale off, under some of the phrases."""
        if self.rng.random() > 0.35:
            return ()
        steps, share = int(self.rng.choice([2, 2, -3, 7, -7, 0])), self.rng.uniform(0.3, 1)
        scale = [self.key + pitch for pitch in MODES[self.mode]]
        return tuple(tunes.shifted(phrase, steps, scale) for phrase in phrases if self.rng.random() < share)
