"""What composing hands to playing and to singing. Seconds from the song's start, MIDI pitches. No sound here."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 44_100
STEMS = ("drums", "bass", "other", "vocals")  # Demucs' order


@dataclass(frozen=True)
class Hit:
    """One note of an instrument; on a drum track `pitch` is a General MIDI percussion key."""

    start_seconds: float
    length_seconds: float
    pitch: int
    velocity: int = 90  # 1 … 127


@dataclass(frozen=True)
class Sung:
    """One sung note: a syllable, or with `slur` the syllable before it carried on."""

    start_seconds: float
    length_seconds: float
    pitch: float
    slur: bool = False


Phrase = tuple[Sung, ...]  # sung in one breath: each note begins where the one before it ends
