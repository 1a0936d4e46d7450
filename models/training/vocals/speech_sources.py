"""Speech from every engine in Debian and from recorded prompts, as clips to analyse. Offline; never sings."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from scipy.signal import resample_poly
from songs.instruments import ToolMissing
from songs.speech import Speaker

from training.vocals.timbre import VOICE_RATE, Floats, Voice, analysed, joined
from training.vocals.words import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

FESTIVAL = Path("/usr/share/festival/voices")
LINES_A_VOICE = 10
PROMPT_SECONDS = 45.0


@dataclass(frozen=True)
class Source:
    """Where a voice comes from: an engine, what the engine calls it, the language of its lines."""

    engine: str  # "espeak", "flite", "festival" or "folder"
    voice: str
    language: str
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        return f"{self.engine}-{self.voice.strip('/').replace('/', '_')}-{self.language}".replace("+", "_")


def build(source: Source, rng: np.random.Generator) -> Voice:
    """All of a source's clips, analysed. Raises ToolMissing or ValueError where the machine lacks it."""
    clips = {"espeak": _espeak, "flite": _flite, "festival": _festival, "folder": _folder}[source.engine](source, rng)
    return joined(list(clips))


def _espeak(source: Source, rng: np.random.Generator) -> Iterator[Voice]:
    speaker = Speaker()
    for line in lines(source.language.split("-")[0], LINES_A_VOICE, rng):
        speech, phonemes = speaker.say(line, source.voice, int(rng.integers(110, 160)))
        vowels = [(phoneme.start, phoneme.end) for phoneme in phonemes if phoneme.is_vowel]
        yield analysed(_at_voice_rate(speech, speaker.rate), speaker.rate / 2, vowels)


def _flite(source: Source, rng: np.random.Generator) -> Iterator[Voice]:
    def command(text: Path, sound: Path) -> list[str]:
        return [_tool("flite"), "-voice", source.voice, "-f", str(text), "-o", str(sound)]

    yield from _spoken(source, rng, command)


def _festival(source: Source, rng: np.random.Generator) -> Iterator[Voice]:
    def command(text: Path, sound: Path) -> list[str]:
        return [_tool("text2wave"), "-eval", f"(voice_{source.voice})", "-o", str(sound), str(text)]

    yield from _spoken(source, rng, command)


def _spoken(source: Source, rng: np.random.Generator, command) -> Iterator[Voice]:  # type: ignore[no-untyped-def]
    for line in lines(source.language, LINES_A_VOICE, rng):
        with tempfile.TemporaryDirectory() as scratch:
            text, sound = Path(scratch, "line.txt"), Path(scratch, "line.wav")
            text.write_bytes(line.encode(source.encoding, errors="ignore"))
            subprocess.run(command(text, sound), capture_output=True, timeout=60, check=False)
            if sound.is_file() and sound.stat().st_size > 10_000:
                yield _recorded(sound)


def _folder(source: Source, rng: np.random.Generator) -> Iterator[Voice]:
    """Recorded prompts, the larger half of the folder in random order."""
    prompts = sorted(Path("/", source.voice).rglob("*.*"), key=lambda path: path.stat().st_size)
    prompts = [path for path in prompts if path.suffix in {".wav", ".ogg", ".g722"}]
    prompts = prompts[len(prompts) // 2 :]
    seconds = 0.0
    for index in rng.permutation(len(prompts)):
        clip = _recorded(prompts[index])
        seconds += len(clip.hertz) * 0.005
        yield clip
        if seconds > PROMPT_SECONDS:
            return


def _recorded(path: Path) -> Voice:
    speech, rate = _read(path)
    return analysed(_at_voice_rate(speech, rate)[: 8 * VOICE_RATE], min(rate, VOICE_RATE) / 2, None)


def _read(path: Path) -> tuple[Floats, int]:
    if path.suffix != ".g722":
        speech, rate = soundfile.read(path, always_2d=True)
        return speech.mean(axis=1), rate
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(float) / 32768, 16_000


def _at_voice_rate(speech: Floats, rate: int) -> Floats:
    ratio = Fraction(VOICE_RATE, rate)
    return np.asarray(resample_poly(speech, ratio.numerator, ratio.denominator))


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed"
        raise ToolMissing(message)
    return path
