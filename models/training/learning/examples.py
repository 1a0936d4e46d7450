"""Training examples out of rendered songs: chunks, remixed across songs. Deterministic by (seed, step, rank)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.score.notes import RATE, STEMS

FULL_SCALE = 32768.0
SILENT = 1e-3  # RMS of full scale below which a chunk counts as silent


class Songs:
    """Rendered songs, int16 [4 stems, 2, samples] each, mapped from disk rather than read. Raises FileNotFoundError."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.files = sorted(file for folder in folders for file in folder.glob("*.npy"))
        if not self.files:
            raise FileNotFoundError(f"no rendered songs in {', '.join(map(str, folders))}; run training.corpus first")
        self.songs = [np.load(file, mmap_mode="r") for file in self.files]

    def chunk(self, song: int, stem: int, start: int, samples: int) -> np.ndarray:
        """float32 [2, samples], zeros behind the song's end."""
        found = self.songs[song][stem, :, start : start + samples].astype(np.float32) / FULL_SCALE
        return np.pad(found, ((0, 0), (0, samples - found.shape[1])))

    def start(self, song: int, samples: int, rng: np.random.Generator) -> int:
        return int(rng.integers(0, max(1, self.songs[song].shape[-1] - samples)))


def example(songs: Songs, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Stems, float32 [4, 2, samples], whose mix has a standard deviation of one.

    Six in ten are remixes: each stem from another song, at another place, speed, level and side. Uhlich et al. 2017
    (https://doi.org/10.1109/ICASSP.2017.7952158) show how much a separation model gains from them.
    """
    stems = _remix(songs, samples, rng) if rng.random() < 0.6 else _excerpt(songs, samples, rng)
    stems = stems * 10 ** (rng.uniform(-5, 5, (len(STEMS), 1, 1)) / 20)
    if rng.random() < 0.1:
        stems[rng.integers(len(STEMS))] = 0.0
    spread = stems.sum(0).std()
    return (stems / max(spread, 1e-3)).astype(np.float32)


def _excerpt(songs: Songs, samples: int, rng: np.random.Generator) -> np.ndarray:
    song = int(rng.integers(len(songs.songs)))
    start = songs.start(song, samples, rng)
    return np.stack([_sides(songs.chunk(song, stem, start, samples), rng) for stem in range(len(STEMS))])


def _remix(songs: Songs, samples: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([_sides(_somewhere(songs, stem, samples, rng), rng) for stem in range(len(STEMS))])


def _somewhere(songs: Songs, stem: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A chunk of the stem from any song; a silent one is drawn again, up to twice."""
    speed = rng.uniform(0.85, 1.18) if rng.random() < 0.4 else 1.0
    wanted = int(samples * speed) + 2
    for _ in range(3):
        song = int(rng.integers(len(songs.songs)))
        sound = songs.chunk(song, stem, songs.start(song, wanted, rng), wanted)
        if np.sqrt(np.mean(sound**2)) > SILENT:
            break
    return _at_speed(sound, speed, samples)


def _at_speed(sound: np.ndarray, speed: float, samples: int) -> np.ndarray:
    """Pitch and pace together. Linear interpolation: what it takes off the treble is one more variation."""
    if speed == 1.0:
        return sound[:, :samples]
    places = np.arange(samples) * speed
    return np.stack([np.interp(places, np.arange(sound.shape[1]), side) for side in sound])


def _sides(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left and right swapped, turned over, or narrowed towards the middle."""
    if rng.random() < 0.5:
        sound = sound[::-1]
    if rng.random() < 0.2:
        width = rng.uniform(0.0, 1.0)
        middle = sound.mean(0, keepdims=True)
        sound = middle + width * (sound - middle)
    return sound * (-1.0 if rng.random() < 0.5 else 1.0)


def batch(songs: Songs, seed: int, step: int, rank: int, examples: int, seconds: float) -> torch.Tensor:
    """[examples, 4, 2, samples], float32; always the same for the same numbers."""
    rng = np.random.default_rng([seed, step, rank])
    samples = int(seconds * RATE)
    return torch.from_numpy(np.stack([example(songs, samples, rng) for _ in range(examples)]))
