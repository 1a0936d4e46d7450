"""Songs whose stems are known, in MUSDB18-HQ's layout: a folder a song, with mixture.wav and one file a stem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msaas.audio.limits import Limits
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.errors import MSaaSError
from msaas.evaluation.metrics import Samples

MIXTURE = "mixture"
SUFFIXES = (".wav", ".flac")
LAYOUT = f"a folder a song, with {MIXTURE}.wav and one WAV or FLAC file a stem (vocals.wav, drums.wav, …)"
COMPLEMENTS = frozenset({"other", "instrumental", "accompaniment"})


class NotAReference(MSaaSError):
    """A folder that does not hold the known stems of a song."""

    code = "song_missing"


@dataclass(frozen=True)
class ReferenceSong:
    """A song's folder. `stems`: the files of its known stems, by name."""

    name: str
    mixture: Path
    stems: Mapping[str, Path]


def reference_songs(folder: Path) -> list[ReferenceSong]:
    """The songs in `folder` and its subfolders (MUSDB18-HQ has `train` and `test`), by path.

    Raises NotAReference if there is none, or none with a stem.
    """
    songs = [_song(path, folder) for path in sorted(folder.rglob(f"{MIXTURE}.*")) if path.suffix in SUFFIXES]
    if not songs:
        raise NotAReference(f"the folder {folder} has no {MIXTURE}.wav at any depth; expected: {LAYOUT}")
    if not any(song.stems for song in songs):
        raise NotAReference(f"{songs[0].mixture} has no stems beside it, nor has another song; expected: {LAYOUT}")
    return songs


def _song(mixture: Path, folder: Path) -> ReferenceSong:
    stems = {
        path.stem: path for path in sorted(mixture.parent.iterdir()) if path.suffix in SUFFIXES and path.stem != MIXTURE
    }
    return ReferenceSong(str(mixture.parent.relative_to(folder)), mixture, stems)


def known_stem(
    song: ReferenceSong, stem: str, sources: Sequence[str], *, sample_rate: int, channels: int
) -> Samples | None:
    """The known stem as [channels, samples]; None if the folder does not have it. Raises AudioError.

    For a model that separates one stem from everything else, "everything else" is the mixture without that stem: in
    MUSDB18 `other` is what is neither vocals, drums nor bass. `sources` are the model's.
    """
    others = [name for name in sources if name != stem]
    if len(sources) == 2 and stem in COMPLEMENTS and others[0] in song.stems:
        mixture = decoded(song.mixture, sample_rate=sample_rate, channels=channels)
        other = decoded(song.stems[others[0]], sample_rate=sample_rate, channels=channels)
        return mixture - fitted(other, mixture.shape[1])
    path = song.stems.get(stem)
    return None if path is None else decoded(path, sample_rate=sample_rate, channels=channels)


def decoded(path: Path, *, sample_rate: int, channels: int) -> Samples:
    """[channels, samples]. Raises AudioError."""
    limits = Limits(max_duration_seconds=86_400)
    blocks = list(IsolatedDecoder(path, sample_rate=sample_rate, channels=channels, limits=limits).blocks())
    return np.concatenate([np.zeros((channels, 0), np.float32), *blocks], axis=1)


def fitted(samples: Samples, length: int) -> Samples:
    """Cut or padded with zeros at the end to `length` samples."""
    cut = samples[:, :length]
    padded: Samples = np.pad(cut, ((0, 0), (0, length - cut.shape[1])))
    return padded
