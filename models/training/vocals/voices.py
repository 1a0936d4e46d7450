"""The bank of voices that sing the training songs. Builds what is missing, skips what the machine cannot say."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from songs.instruments import ToolMissing

from training.score.notes import RATE, Phrase, Sung
from training.vocals.backing import Layer, planned
from training.vocals.cast import INVENTED, Cast, sources
from training.vocals.singing import RELEASE_SECONDS, drawn, spoken, sung, syllable_spans, taken_rows, time_map
from training.vocals.speech_sources import build
from training.vocals.throat import invented
from training.vocals.timbre import FRAME_SECONDS, VOICE_RATE, Floats, Voice
from training.vocals.vocal_chain import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

KINDS = {"throat": 0.25, "people": 0.45, "espeak": 0.3}
FARTHEST_SEMITONES = 9.0  # of a melody's middle from where a voice sings easily
LOUD_LEVEL = 0.2  # root mean square of the loud parts


def open_bank(folder: Path, cast: Cast, seed: int) -> Bank:
    """The voices of `cast`, built into `folder` where they are not there yet."""
    _build_all(folder, cast, seed)
    return Bank(folder, tuple(sorted(path.stem for path in folder.glob("*.npz") if ".part" not in path.name)))


@dataclass(frozen=True)
class Bank:
    """Voices on disk, loaded as they are chosen."""

    folder: Path
    voices: tuple[str, ...]

    def sing(self, phrases: Sequence[Phrase], samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """A lead and at random others with it, [2, samples], dry; loud parts at an RMS of about 0.2."""
        phrases = [phrase for phrase in phrases if phrase]
        if not phrases:
            return np.zeros((2, samples), dtype=np.float32)
        lead = self._chosen(_middle(phrases), rng)
        manner = drawn(lead, _middle(phrases), rng)
        track = sung(lead, manner, phrases, samples / RATE, rng)
        mix = np.stack([recorded(track, samples, rng)] * 2) / _level(track)
        layers = [layer for layer in planned(phrases, rng) if layer.phrases]
        if layers:
            mix += self._behind(layers, lead, manner.formants, samples, rng)
        return _finished(mix)

    def talk(self, starts_seconds: Sequence[float], samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Rap where starts come close, a syllable each; from a start on its own, a spoken line."""
        starts = [start for start in sorted(starts_seconds) if start < samples / RATE]
        if not starts:
            return np.zeros((2, samples), dtype=np.float32)
        voice = self._chosen(None, rng)
        manner = replace(drawn(voice, 55.0, rng), ring=0.5, growl=0.0)
        pitch = float(rng.uniform(0.8, 1.4))
        track = np.zeros(samples * VOICE_RATE // RATE + 1)
        for run, end in _runs(starts, samples / RATE):
            out, into = _rapped(voice, run, rng) if len(run) > 1 else _said(voice, run[0], end, rng)
            sound = spoken(voice, manner, out, into, pitch, rng)
            first = max(round(out[0] * VOICE_RATE), 0)
            room = min(len(sound), len(track) - first)
            track[first : first + room] += sound[:room]
        return _finished(np.stack([recorded(track, samples, rng)] * 2))

    def _behind(
        self, layers: list[Layer], lead: Voice, formants: float, samples: int, rng: np.random.Generator
    ) -> Floats:
        """The backing on a bus of its own."""
        bus = np.zeros((2, int(samples / RATE * VOICE_RATE) + 1))
        for layer in layers:
            voice = lead if layer.same_voice else self._chosen(_middle(layer.phrases), rng)
            manner = drawn(voice, _middle(layer.phrases), rng)
            if layer.same_voice:
                manner = replace(manner, formants=formants * rng.uniform(0.97, 1.03))
            late = float(rng.normal(0, 0.02))
            manner = replace(manner, late_seconds=late, wordless=layer.wordless or manner.wordless)
            track = sung(voice, manner, layer.phrases, samples / RATE, rng)
            angle = (layer.pan + 1) * np.pi / 4
            bus += layer.gain / _level(track) * np.stack([np.cos(angle) * track, np.sin(angle) * track]) * 2**0.5
        same = int(rng.integers(2**31))
        return np.stack([recorded(side, samples, np.random.default_rng(same)) for side in bus])

    def _chosen(self, middle_pitch: float | None, rng: np.random.Generator) -> Voice:
        """A voice at random, of those tried the first that sings easily at that pitch."""
        voice = self._any(rng)
        for _ in range(8):
            if middle_pitch is None or abs(_strain(voice, middle_pitch)) < FARTHEST_SEMITONES:
                return voice
            voice = self._any(rng)
        return voice

    def _any(self, rng: np.random.Generator) -> Voice:
        kind = rng.choice(list(KINDS), p=list(KINDS.values()))
        names = [name for name in self.voices if _kind(name) == kind] or list(self.voices)
        return _loaded(self.folder / f"{names[int(rng.integers(len(names)))]}.npz")


def _kind(name: str) -> str:
    start = name.split("-")[0]
    return start if start in KINDS else "people"


@lru_cache(maxsize=32)
def _loaded(path: Path) -> Voice:
    return Voice.load(path)


def _middle(phrases: Sequence[Phrase]) -> float:
    return float(np.median([note.pitch for phrase in phrases for note in phrase]))


def _strain(voice: Voice, pitch: float) -> float:
    return pitch - (69 + 12 * float(np.log2(voice.natural_hertz * 1.35 / 440)))


def _level(sound: Floats) -> float:
    """Root mean square of the louder part of what is not silence, 50 ms at a time."""
    mono = np.atleast_2d(sound).mean(axis=0)
    whole = len(mono) // 1200 * 1200
    power = (mono[:whole].reshape(-1, 1200) ** 2).mean(axis=1) if whole else mono**2
    heard = power[power > 1e-3 * power.max()] if np.any(power) else np.ones(1)
    return float(np.sqrt(np.quantile(heard, 0.8)))


def _finished(mix: Floats) -> NDArray[np.float32]:
    """At the usual level, with peaks above 0.7 rounded off below 1."""
    mix = mix * (LOUD_LEVEL / _level(mix))
    over = np.clip(np.abs(mix) - 0.7, 0, None)
    rounded = np.minimum(np.abs(mix), 0.7) + 0.29 * (1 - np.exp(-over / 0.29))
    return (np.sign(mix) * rounded).astype(np.float32)


def _runs(starts: list[float], end: float) -> list[tuple[list[float], float]]:
    """Starts less than 0.75 s apart together, each run with the second at which the next begins."""
    runs: list[list[float]] = [[starts[0]]]
    for start in starts[1:]:
        if start - runs[-1][-1] < 0.75:
            runs[-1].append(start)
        else:
            runs.append([start])
    return list(zip(runs, [*(run[0] for run in runs[1:]), end], strict=True))


def _rapped(voice: Voice, starts: list[float], rng: np.random.Generator) -> tuple[Floats, Floats]:
    gaps = [*np.diff(starts), float(np.median(np.diff(starts)))]
    phrase = tuple(Sung(start, max(float(gap), 0.06), 60.0) for start, gap in zip(starts, gaps, strict=True))
    spans = syllable_spans(phrase)
    return time_map(spans, taken_rows(voice, len(spans), rng), sustained=False)


def _said(voice: Voice, start: float, end: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Syllables as they were spoken until the next start or the clip's end."""
    first = int(rng.integers(max(len(voice.syllables) - 8, 1)))
    rows = voice.syllables[first:]
    last = int(np.argmax(rows[:, 3])) if np.any(rows[:, 3]) else len(rows) - 1
    frames = rows[: last + 1, 2] - rows[0, 0]
    fitting = frames[frames * FRAME_SECONDS < end - start - RELEASE_SECONDS]
    length = int(fitting[-1] if len(fitting) else frames[0])
    pace = float(rng.uniform(0.85, 1.1))
    seconds = length * FRAME_SECONDS * pace
    out = np.array([start, start + seconds, start + seconds + RELEASE_SECONDS])
    return out, np.array([rows[0, 0], rows[0, 0] + length, rows[0, 0] + length], dtype=float)


def _build_all(folder: Path, cast: Cast, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(INVENTED[cast]):
        path = folder / f"throat-{number:02d}.npz"
        if not path.exists():
            invented(np.random.default_rng([seed, number, cast == "train"])).save(path)
    for source in sources(cast):
        path = folder / f"{source.name}.npz"
        if path.exists():
            continue
        try:
            build(source, np.random.default_rng([seed, zlib.crc32(source.name.encode())])).save(path)
        except (ToolMissing, ValueError) as problem:
            logger.warning("no voice %s: %s", source.name, problem)
