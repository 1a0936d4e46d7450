"""What a song is made of, and the short notations its score is written in. No sound here.

Times are in beats from the start of the song; pitches are MIDI numbers (60 = C4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle, takewhile

STEMS = ("vocals", "drums", "bass", "other")

PITCH_CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
CHORD_TONES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m9": (0, 3, 7, 10, 14),
    "9": (0, 4, 7, 10, 14),
    "sus4": (0, 5, 7),
    "5": (0, 7),
}
BASS_STEPS = {"R": 0, "b": -5, "3": 3, "5": 7, "7": 10, "8": 12}
DRUM_KEYS = {
    "kick": 36,
    "stick": 37,
    "snare": 38,
    "clap": 39,
    "brush": 40,
    "hat": 42,
    "pedal": 44,
    "open": 46,
    "low": 45,
    "mid": 47,
    "high": 50,
    "crash": 49,
    "ride": 51,
    "tambourine": 54,
    "cowbell": 56,
    "shaker": 70,
}
STRIKES = {"X": 118, "x": 96, "o": 76, "g": 42}


@dataclass(frozen=True)
class Note:
    """One note: start and length in beats; `slur` carries the syllable of the note before it."""

    start: float
    length: float
    pitch: int
    velocity: int = 90
    slur: bool = False


@dataclass(frozen=True)
class Chord:
    """A chord of a progression: pitch classes above a root, for so many beats."""

    start: float
    length: float
    root: int
    tones: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One instrument: a General MIDI programme (or a drum kit's number) and what it plays."""

    name: str
    stem: str
    program: int
    notes: tuple[Note, ...]
    level_db: float = 0.0  # against the other parts of its stem
    pan: float = 0.0  # −1 left … 1 right
    reverb: float = 0.1  # share of the room, 0 … 1
    low_cut_hz: float = 30.0
    high_cut_hz: float = 18_000.0


@dataclass(frozen=True)
class Line:
    """Words with one note a syllable (slurs aside), sung in one breath: no rests inside."""

    words: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Voice:
    """A singer: an espeak-ng voice, the size of the mouth, and the lines."""

    name: str
    speaker: str
    lines: tuple[Line, ...]
    formants: float = 1.0  # above 1: a smaller mouth
    vibrato_cents: float = 32.0
    level_db: float = 0.0
    pan: float = 0.0
    reverb: float = 0.16
    detune_cents: float = 0.0


@dataclass(frozen=True)
class Song:
    """A whole song. `balance_db` is each stem's loudness (RMS where it plays) before mastering."""

    title: str
    slug: str
    style: str
    key: str
    bpm: float
    metre: int  # beats in a bar
    beats: int
    seed: int
    parts: tuple[Part, ...]
    voices: tuple[Voice, ...]
    balance_db: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STEMS, -18.0))
    swing: float = 0.0  # how late the off sixteenths come, as a share of a sixteenth
    reverb_seconds: float = 1.2
    tail_seconds: float = 2.2

    def seconds(self, beat: float) -> float:
        return beat * 60.0 / self.bpm


def pitch(name: str) -> int:
    """MIDI number of a name such as `F#4` or `Bb3`."""
    letter, accidental, octave = name[0], name[1:-1], int(name[-1])
    shift = accidental.count("#") - accidental.count("b")
    return 12 * (octave + 1) + PITCH_CLASSES[letter] + shift


def tune(text: str, at: float = 0.0, velocity: int = 92) -> tuple[Note, ...]:
    """Notes from `F#4:1 r:.5 D4+A4:2 ~E4:.5`: names and beats; r rests, + stacks, ~ slurs, ! accents."""
    notes, now = [], at
    for token in text.replace("|", " ").split():
        names, beats = token.rstrip("!").split(":")
        strength = min(velocity + 20 * token.endswith("!"), 127)
        if names != "r":
            slur = names.startswith("~")
            keys = [pitch(name) for name in names.lstrip("~").split("+")]
            notes += [Note(now, float(beats), key, strength, slur) for key in keys]
        now += float(beats)
    return tuple(notes)


def sung(words: str, at: float, text: str) -> Line:
    return Line(words, tune(text, at))


def progression(text: str, at: float = 0.0) -> tuple[Chord, ...]:
    """Chords from `D:4 Bm7:4`: names and beats, one after the other."""
    chords, now = [], at
    for token in text.replace("|", " ").split():
        name, beats = token.split(":")
        head = 2 if name[1:2] in ("#", "b") else 1
        root = pitch(f"{name[:head]}0") % 12
        chords.append(Chord(now, float(beats), root, CHORD_TONES[name[head:]]))
        now += float(beats)
    return tuple(chords)


def voicing(chord: Chord, low: int) -> list[int]:
    """The chord's notes within the octave above `low`: neighbours in a progression lie close."""
    return sorted(low + (chord.root + tone - low) % 12 for tone in chord.tones)


def strum(chords: tuple[Chord, ...], rhythm: str, low: int, step: float = 0.25, gate: float = 0.9) -> tuple[Note, ...]:
    """Every chord in a rhythm of `X x o g` (strikes), `-` (held) and `.` (rest), one mark a step."""
    notes = []
    for chord in chords:
        for start, length, mark in _hits(rhythm, chord.length, step):
            for order, key in enumerate(voicing(chord, low)):
                late = 0.012 * order  # fingers, not a machine
                notes.append(Note(chord.start + start + late, length * gate, key, STRIKES[mark]))
    return tuple(notes)


def arpeggio(
    chords: tuple[Chord, ...], order: str, low: int, step: float = 0.5, velocity: int = 80
) -> tuple[Note, ...]:
    """Broken chords: each digit of `order` a chord tone counted upwards, running into the next octave."""
    notes = []
    for chord in chords:
        keys = voicing(chord, low)
        for index, digit in zip(range(round(chord.length / step)), cycle(order), strict=False):
            octave, tone = divmod(int(digit), len(keys))
            key, strength = keys[tone] + 12 * octave, velocity + (8 if index % 4 == 0 else 0)
            notes.append(Note(chord.start + index * step, step * 1.6, key, strength))
    return tuple(notes)


def walk(chords: tuple[Chord, ...], rhythm: str, low: int, step: float = 0.5, velocity: int = 96) -> tuple[Note, ...]:
    """A bass line: `R 3 5 7 8` steps of the chord, `b` the fifth below, `-` held, `.` rest.

    The root lies in the octave above `low`; 3 and 7 are minor, as the scores here need them.
    """
    notes = []
    for chord in chords:
        root = low + (chord.root - low) % 12
        for start, length, mark in _hits(rhythm, chord.length, step):
            notes.append(Note(chord.start + start, length * 0.92, root + BASS_STEPS[mark], velocity))
    return tuple(notes)


def beat(grid: Mapping[str, str], at: float, times: int = 1, step: float = 0.25) -> tuple[Note, ...]:
    """A drum pattern, a row a drum, a mark a step (`X x o g` strikes, `.` none), played `times` times."""
    rows = {drum: row.replace(" ", "").replace("|", "") for drum, row in grid.items()}
    length = max(len(row) for row in rows.values()) * step
    return tuple(
        Note(at + again * length + index * step, step, DRUM_KEYS[drum], STRIKES[mark])
        for again in range(times)
        for drum, row in rows.items()
        for index, mark in enumerate(row)
        if mark != "."
    )


def moved(notes: tuple[Note, ...], beats: float = 0.0, semitones: int = 0) -> tuple[Note, ...]:
    return tuple(Note(n.start + beats, n.length, n.pitch + semitones, n.velocity, n.slur) for n in notes)


def _hits(rhythm: str, beats: float, step: float) -> list[tuple[float, float, str]]:
    """(start, length, mark) of each strike of a rhythm repeated over so many beats."""
    marks = rhythm.replace(" ", "").replace("|", "")
    row = "".join(mark for mark, _ in zip(cycle(marks), range(round(beats / step)), strict=False))
    hits = []
    for index, mark in enumerate(row):
        if mark in ".-":
            continue
        held = sum(1 for _ in takewhile(lambda m: m == "-", row[index + 1 :]))
        hits.append((index * step, (1 + held) * step, mark))
    return hits
