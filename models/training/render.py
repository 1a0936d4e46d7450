"""Turns a score into four stems: picks each part's sound, plays it, dresses it, and balances the song."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from songs.mixing import levelled, room

from training.instruments import effects, soundfonts
from training.instruments.kits import Kit, loaded, looped, speeded
from training.instruments.synths import Synth
from training.score.compose import Part, Score
from training.score.notes import RATE, STEMS, Phrase

LOUDNESS_DB = -20.0
SYNTH_SHARE = {  # how often a family is synthesised rather than played from a soundfont
    "lead": 0.6, "pad": 0.5, "pluck": 0.6, "fx": 0.4, "synth": 0.8, "sub": 0.85, "fm": 0.85, "eight": 0.95, "organ": 0.25, "strings": 0.12,  # noqa: E501
    "brass": 0.12, "clean": 0.2, "steel": 0.2, "nylon": 0.2, "dist": 0.25, "harp": 0.25, "banjo": 0.3, "mallet": 0.25, "finger": 0.08,  # noqa: E501
    "pick": 0.12, "grit": 0.3, "clav": 0.2, "epiano": 0.2, "ethnic": 0.15,
}  # fmt: skip
SYNTH_KIND = {
    "clean": "string", "steel": "string", "nylon": "string", "dist": "string", "harp": "string", "banjo": "string", "pick": "low string",  # noqa: E501
    "ethnic": "string", "finger": "low string", "clav": "pluck", "epiano": "mallet", "brass": "lead", "synth": "bass", "fm": "fm", "grit": "bass",  # noqa: E501
}  # fmt: skip
BASS_NOTES = Path("/usr/share/sonic-pi/samples")
BASS_SAMPLES = {
    "bass_hit_c": 36,
    "bass_hard_c": 36,
    "bass_thick_c": 36,
    "bass_woodsy_c": 36,
    "bass_dnb_f": 41,
    "bass_trance_c": 36,
}


class Singers(Protocol):
    """What voices.py's bank does."""

    def sing(self, phrases: tuple[Phrase, ...], samples: int, rng: np.random.Generator) -> np.ndarray: ...

    def talk(self, starts_seconds: tuple[float, ...], samples: int, rng: np.random.Generator) -> np.ndarray: ...


@dataclass
class Desk:
    """One song's rendering; `log` tells what each part was played by."""

    score: Score
    cast: str
    samples: int
    rng: np.random.Generator
    singers: Singers | None
    log: list[dict[str, Any]] = field(default_factory=list)

    def stems(self) -> np.ndarray:
        """[4, 2, samples] float32 in the order of STEMS; they add up to the mix."""
        beat = 60 / self.score.bpm
        self.cents = float(self.rng.normal(0, 22) * (self.rng.random() < 0.4))
        answer = room(float(self.rng.uniform(0.25, 2.8)), self.rng)
        dry = {stem: np.zeros((2, self.samples)) for stem in STEMS}
        for part in self.score.parts:
            sound = effects.dressed(part.stem, part.family, self._played(part), beat, self.rng)
            dry[part.stem] += self._levelled(sound, self.rng.normal(0, 3) + (4 if part.manner == "lead" else 0))
        dry["vocals"] += self._sung(beat)
        dry["drums"] += self._loop()
        return np.stack([self._finished(stem, dry[stem], answer) for stem in STEMS]).astype(np.float32)

    def _levelled(self, sound: np.ndarray, over_db: float) -> np.ndarray:
        if np.abs(sound).max() < effects.SILENT_PEAK:
            return np.zeros_like(sound)
        return levelled(sound, LOUDNESS_DB + over_db)

    def _finished(self, stem: str, sound: np.ndarray, answer: np.ndarray) -> np.ndarray:
        if np.abs(sound).max() < effects.SILENT_PEAK:
            return np.zeros_like(sound)
        share = effects.shared_room(stem, self.rng)
        wet = sound + share * effects.convolved(sound, answer) if share > 0.01 else sound
        if self.score.duck and stem in ("bass", "other"):
            wet = effects.ducked(wet, self.score.kicks, self.rng.uniform(0.3, 0.95), self.rng.uniform(0.05, 0.2))
        centre = {"drums": 1.0, "vocals": 2.0, "bass": 0.0, "other": 0.0}[stem]
        return self._levelled(wet, centre + float(np.clip(self.rng.normal(0, 2.5), -5, 5)))

    def _note(self, part: Part, sound: str) -> None:
        self.log.append(
            {"stem": part.stem, "manner": part.manner, "family": part.family, "sound": sound, "notes": len(part.hits)}
        )

    def _played(self, part: Part) -> np.ndarray:
        if part.stem == "drums":
            return self._drums(part)
        machine = self.cast == "train" and self.rng.random() < SYNTH_SHARE.get(part.family, 0.03)
        if self.cast == "train" and part.stem == "bass" and self.rng.random() < 0.06:
            return self._bass_samples(part)
        if machine:
            synth = Synth(SYNTH_KIND.get(part.family, part.family), self.rng)
            self._note(part, f"synth {synth.name}")
            return synth.play(part.hits, self.samples)
        return self._from_soundfont(part)

    def _from_soundfont(self, part: Part) -> np.ndarray:
        preset = soundfonts.chosen(self.cast, part.family, self.rng)
        shift = int(self.rng.choice([-4, -3, -2, -1, 1, 2, 3, 4])) if self.rng.random() < 0.35 else 0
        slides = {"bass": 0.06, "other": 0.1 if part.manner == "lead" else 0}.get(part.stem, 0) * (
            self.rng.random() < 0.6
        )
        self._note(part, f"{preset.font.name} {preset.bank}:{preset.program} {preset.name} {shift:+d}")
        return soundfonts.play(preset, part.hits, self.samples, shift, self.cents, slides, self.rng)

    def _drums(self, part: Part) -> np.ndarray:
        kind = str(self.rng.choice(self.score.kits))
        own = {"acoustic": 0.5, "brush": 0.15, "electronic": 0.85, "samples": 0.95}[kind]
        if self.cast == "held-out" or self.rng.random() > own:
            return self._from_soundfont(part)
        kit = Kit(kind == "electronic", self.rng)
        self._note(part, f"kit {kit.name}")
        return kit.play(part.hits, self.samples)

    def _loop(self) -> np.ndarray:
        """Now and then a recorded loop over some of the drums' sections, under or in the groove."""
        if self.cast == "held-out" or self.rng.random() > 0.1 or not self.score.loops:
            return np.zeros((2, self.samples))
        spans = tuple(span for span in self.score.loops if self.rng.random() < 0.6)
        sound, name = looped(self.score.bpm, spans, self.samples, self.rng)
        self.log.append({"stem": "drums", "manner": "loop", "family": "loop", "sound": name, "notes": len(spans)})
        return self._levelled(effects.coloured(sound, self.rng), float(self.rng.normal(-3, 3)))

    def _bass_samples(self, part: Part) -> np.ndarray:
        name = str(self.rng.choice(list(BASS_SAMPLES)))
        sample, out = loaded(BASS_NOTES / f"{name}.flac"), np.zeros((2, self.samples), np.float32)
        pitched = {hit.pitch: speeded(sample, 2 ** ((hit.pitch - BASS_SAMPLES[name]) / 12)) for hit in part.hits}
        for hit in part.hits:
            start, length = round(hit.start_seconds * RATE), round((hit.length_seconds + 0.05) * RATE)
            sound = pitched[hit.pitch][:, : min(length, self.samples - start)]
            fade = np.minimum(1, np.arange(sound.shape[1])[::-1] / 1500)
            out[:, start : start + sound.shape[1]] += sound * fade * (hit.velocity / 110)
        self._note(part, f"sample {name}")
        return out

    def _sung(self, beat: float) -> np.ndarray:
        """The lead, a second voice at times, and talk; each with effects of its own."""
        out = np.zeros((2, self.samples))
        if self.singers is None:
            return out
        for name, phrases, over_db in (("lead", self.score.phrases, 0.0), ("backing", self.score.backing, -5.0)):
            if phrases:
                sound = self.singers.sing(phrases, self.samples, self.rng)
                out += self._voice(name, sound, over_db, beat, len(phrases))
        if self.score.talk:
            sound = self.singers.talk(self.score.talk, self.samples, self.rng)
            out += self._voice("talk", sound, 0.0, beat, len(self.score.talk))
        return out

    def _voice(self, name: str, sound: np.ndarray, over_db: float, beat: float, count: int) -> np.ndarray:
        self.log.append({"stem": "vocals", "manner": name, "family": "voice", "sound": "voice bank", "notes": count})
        dressed = effects.dressed("vocals", "voice", sound.astype(np.float64), beat, self.rng)
        if name == "backing" and self.rng.random() < 0.5:
            dressed = effects.doubled(dressed, self.rng)
        return self._levelled(dressed, over_db)
