"""How often tempo and key are right, on composed songs whose tempo and key are known.

    python -m bench.separation.analysis [--songs 100] [--seconds 60] [--seed 0]

The scores are those of models/training, played by plain synthesis: decaying harmonics, and bursts of
noise as drums. A tempo is right within 2 %; "octave": within 2 % of its double, half, triple or third. Beats are
right if half of them are within 35 ms of the score's; those of songs whose tempo is not right, its half or its double
are not judged. "relative": the minor key of a major one, or the reverse. What the meters leave open (None) counts as
"no answer".
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msaas.audio.analysis.key import NAMES, Key, KeyMeter
from msaas.audio.analysis.loudness import LoudnessMeter
from msaas.audio.analysis.tempo import Tempo, TempoMeter

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "models"), str(REPOSITORY / "data")]

RATE = 44_100
BEAT_SECONDS = 0.035
OCTAVES = (2, 1 / 2, 3, 1 / 3, 3 / 2, 2 / 3)

Sound = NDArray[np.float32]


def main() -> int:
    from training.score.compose import compose

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--songs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    tempi: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    beats: Counter[str] = Counter()
    beat_errors: list[float] = []
    took = loudness_took = 0.0
    for number in range(options.songs):
        rng = np.random.default_rng((options.seed, number))
        score = compose(rng, options.seconds)
        drums, pitched = played(score, options.seconds, rng)
        began = time.process_time()
        tempo, key = measured(TempoMeter(RATE), drums), measured(KeyMeter(RATE), pitched)
        took += time.process_time() - began
        began = time.process_time()
        measured(LoudnessMeter(RATE, 2), np.stack([drums + pitched] * 2))
        loudness_took += time.process_time() - began
        tempi[judged_tempo(tempo, score.bpm)] += 1
        if (error := beat_error(tempo, score.bpm, options.seconds)) is not None:
            beat_errors.append(error)
        beats[judged_beats(tempo, score.bpm, error)] += 1
        keys[judged_key(key, score.key, score.mode)] += 1
        if options.verbose:
            print(number, score.style, f"{score.bpm:.1f}", tempo, NAMES[score.key], score.mode, key)
    for name, counts in (("tempo", tempi), ("beats", beats), ("key", keys)):
        print(name, ", ".join(f"{what} {count}" for what, count in counts.most_common()))
    if beat_errors:
        print(f"median distance from the score's beats: {1000 * float(np.median(beat_errors)):.0f} ms")
    minutes = options.songs * options.seconds / 60
    print(
        f"{took / minutes:.2f} processor seconds a minute, and {loudness_took / minutes:.2f} for the loudness in stereo"
    )
    return 0


def measured(meter: Any, sound: Sound) -> Any:
    for start in range(0, sound.shape[-1], 1 << 18):
        meter.add(sound[..., start : start + (1 << 18)])
    return meter.result()


def judged_tempo(tempo: Tempo | None, bpm: float) -> str:
    if tempo is None:
        return "no answer"
    if abs(tempo.bpm / bpm - 1) < 0.02:
        return "right"
    return "octave" if any(abs(tempo.bpm / bpm / times - 1) < 0.02 for times in OCTAVES) else "wrong"


def beat_error(tempo: Tempo | None, bpm: float, seconds: float) -> float | None:
    """The median distance, in seconds, of the beats of the slower grid, found or the score's, from the faster one."""
    if tempo is None or tempo.first_beat is None or not is_judged(tempo, bpm):
        return None
    found, score = (60 / tempo.bpm, tempo.first_beat), (60 / bpm, 0.0)
    (fast, begin), (slow, first) = sorted([found, score])
    distances = np.arange(first, seconds, slow) - begin
    return float(np.median(np.abs((distances + fast / 2) % fast - fast / 2)))


def is_judged(tempo: Tempo, bpm: float) -> bool:
    return any(abs(tempo.bpm / bpm / times - 1) < 0.02 for times in (1, 2, 1 / 2))


def judged_beats(tempo: Tempo | None, bpm: float, error: float | None) -> str:
    if tempo is None or not is_judged(tempo, bpm):
        return "not judged"
    if error is None:
        return "no answer"
    return "right" if error <= BEAT_SECONDS else "wrong"


def judged_key(key: Key | None, tonic: int, mode: str) -> str:
    if key is None:
        return "no answer"
    minor = mode in ("minor", "dorian", "phrygian", "harmonic")
    name = f"{NAMES[tonic]} {'minor' if minor else 'major'}"
    relative = f"{NAMES[(tonic + (3 if minor else 9)) % 12]} {'major' if minor else 'minor'}"
    return "right" if key.name == name else "relative" if key.name == relative else "wrong"


def played(score: Any, seconds: float, rng: np.random.Generator) -> tuple[Sound, Sound]:
    """The drums, and everything pitched, as mono."""
    drums, pitched = (np.zeros(int(seconds * RATE) + RATE, np.float32) for _ in range(2))
    for part in score.parts:
        for hit in part.hits:
            sound = stroke(hit, rng) if part.stem == "drums" else note(hit)
            target = drums if part.stem == "drums" else pitched
            first = int(hit.start_seconds * RATE)
            target[first : first + len(sound)] += sound[: len(target) - first]
    return drums, pitched


def stroke(hit: Any, rng: np.random.Generator) -> Sound:
    seconds = {35: 0.15, 36: 0.15, 38: 0.2, 40: 0.2, 42: 0.05, 46: 0.3, 49: 1.0, 51: 0.4}.get(hit.pitch, 0.15)
    at = np.arange(int(seconds * RATE)) / RATE
    fall = np.exp(-at * 5 / seconds) * hit.velocity / 127
    if hit.pitch in (35, 36):
        sound = np.sin(2 * np.pi * 55 * at)
    else:
        sound = rng.normal(0, 0.3, len(at))
        if hit.pitch >= 42:
            sound = np.diff(sound, prepend=0)
    return (sound * fall).astype(np.float32)


def note(hit: Any) -> Sound:
    at = np.arange(int(min(hit.length_seconds, 4.0) * RATE)) / RATE
    hertz = 440 * 2 ** ((hit.pitch - 69) / 12)
    sound = sum(np.sin(2 * np.pi * hertz * times * at) / times for times in range(1, 6) if hertz * times < RATE / 2)
    return (sound * np.exp(-at * 1.5) * hit.velocity / 127 * 0.1).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
