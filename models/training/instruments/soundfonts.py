"""Soundfonts by cast, what presets each holds, and one part played by FluidSynth as a process of its own."""

from __future__ import annotations

import mmap
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mido
import numpy as np
import soundfile
from songs.instruments import tool

from training.instruments.kits import speeded
from training.score.notes import RATE, Hit

FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"))
# Name and how likely; the casts share no file. MuseScore_General grew out of FluidR3, so it is the lesser held-out one.
CASTS = {
    "train": {"FluidR3_GM.sf2": 6.0, "sf_GMbank.sf2": 3.0, "FluidR3_GS.sf2": 1.0, "OPL-3_FM_128M.sf2": 0.35,
              "Black_Pearl_4_LV2.sf2": 2.0, "Red_Zeppelin_4_LV2.sf2": 2.0},
    "held-out": {"TimGM6mb.sf2": 3.0, "MuseScore_General.sf3": 1.0},
}  # fmt: skip
TICKS_PER_SECOND = 960
DRUM_BANK, DRUM_CHANNEL = 128, 9
VOICES = re.compile(
    r"choir|voice|vox|aah|ooh|halo|vocal|solo ?vo|breath|scat|laugh|scream|applause|gun|helicop|tele|bird|sea", re.I
)
FAMILIES = {
    "piano": (0, 1, 2, 3), "epiano": (4, 5), "clav": (6, 7), "mallet": (8, 9, 10, 11, 12, 13, 14, 108, 114), "organ": (16, 17, 18, 19, 20),  # noqa: E501
    "accordion": (21, 23), "harmonica": (22,), "nylon": (24,), "steel": (25,), "clean": (26, 27, 28), "dist": (29, 30, 27),  # noqa: E501
    "fiddle": (40, 41, 110), "strings": (48, 49, 50, 51, 42, 44), "pizz": (45,), "harp": (46,), "brass": (56, 57, 59, 60, 61, 62, 63),  # noqa: E501
    "reed": (64, 65, 66, 67, 68, 69, 70, 71), "flute": (72, 73, 74, 75, 76, 77, 78, 79), "lead": (80, 81, 82, 83, 84, 86, 87),  # noqa: E501
    "pad": (88, 89, 90, 92, 93, 95, 50, 51), "pluck": (84, 87, 80, 81, 45, 46, 98, 6), "fx": (96, 97, 98, 99, 100, 103), "banjo": (105,),  # noqa: E501
    "ethnic": (104, 105, 106, 107, 108, 109, 111), "finger": (33,), "pick": (34,), "fretless": (35,), "slap": (36, 37),
    "upright": (32,), "grit": (34, 33), "synth": (38, 39), "sub": (38, 39, 33), "fm": (38, 39), "eight": (38, 39), "contrabass": (43, 48, 58, 32),  # noqa: E501
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    font: Path
    bank: int
    program: int
    name: str


@cache
def presets(font: Path) -> tuple[Preset, ...]:
    """The soundfont's presets, from its `phdr` chunk."""
    with font.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(b"phdr")
        (size,) = struct.unpack_from("<I", data, at + 4)
        records = [struct.unpack_from("<20sHH", data, place) for place in range(at + 8, at + 8 + size - 38, 38)]
    return tuple(Preset(font, bank, program, _text(name)) for name, program, bank in records)


def _text(name: bytes) -> str:
    return name.split(b"\0")[0].decode("latin-1").strip()


@cache
def _fonts(cast: str) -> tuple[tuple[Path, float], ...]:
    here = {path.name: path for folder in FOLDERS for path in folder.glob("*.sf?")}
    return tuple((here[name], weight) for name, weight in CASTS[cast].items() if name in here)


def chosen(cast: str, family: str, rng: np.random.Generator) -> Preset:
    """A preset of the family, from one of the cast's soundfonts that has any."""
    wanted = FAMILIES.get(family, (0,))
    able = [(weight, fitting) for font, weight in _fonts(cast) if (fitting := _fitting(font, family, wanted))]
    odds = np.array([weight for weight, _ in able])
    fitting = able[int(rng.choice(len(able), p=odds / odds.sum()))][1]
    return fitting[int(rng.integers(len(fitting)))]


def _fitting(font: Path, family: str, wanted: Sequence[int]) -> list[Preset]:
    if family == "kit":
        return [p for p in presets(font) if (p.bank == DRUM_BANK or "LV2" in font.name) and p.program != 56]
    if "LV2" in font.name:
        return []
    return [p for p in presets(font) if p.bank < 100 and p.program in wanted and not VOICES.search(p.name)]


def play(
    preset: Preset, hits: Sequence[Hit], samples: int, shift: int, cents: float, slides: float, rng: np.random.Generator
) -> np.ndarray:
    """One part, dry, [2, samples] float32. With `shift` it is played so many semitones lower and slower, then sped up."""  # noqa: E501
    factor = 2 ** (shift / 12)
    drums = preset.bank == DRUM_BANK or "LV2" in preset.font.name
    scratch = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        score, sound = Path(folder, "part.mid"), Path(folder, "part.wav")
        _midi(preset, hits, factor, 0 if drums else shift, drums, cents, slides, rng).save(score)
        options = [
            "-ni",
            "-q",
            "-R",
            "0",
            "-C",
            "0",
            "-g",
            "0.4",
            "-r",
            str(RATE),
            "-O",
            "float",
            "-T",
            "wav",
            "-F",
            str(sound),
        ]
        options += ["-o", "synth.dynamic-sample-loading=1", "-o", "synth.polyphony=96"]
        command = [tool("fluidsynth"), *options, str(preset.font), str(score)]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        played, _ = soundfile.read(sound, always_2d=True, dtype="float32")
    whole = speeded(played.T, factor) if shift else played.T
    return np.pad(whole, ((0, 0), (0, max(samples - whole.shape[1], 0))))[:, :samples]


def _midi(
    preset: Preset,
    hits: Sequence[Hit],
    factor: float,
    shift: int,
    drums: bool,
    cents: float,
    slides: float,
    rng: np.random.Generator,
) -> mido.MidiFile:
    channel = DRUM_CHANNEL if preset.bank == DRUM_BANK else 0  # avldrums' kits are ordinary presets
    centre = int(np.clip(cents / 200 * 8191, -8191, 8191))
    timed = [(0, 0, mido.Message("control_change", channel=channel, control=0, value=preset.bank % DRUM_BANK))]
    timed.append((0, 1, mido.Message("program_change", channel=channel, program=preset.program)))
    timed.append((0, 2, mido.Message("pitchwheel", channel=channel, pitch=centre)))
    for hit in hits:
        on, off = (
            round(time * factor * TICKS_PER_SECOND)
            for time in (hit.start_seconds, hit.start_seconds + hit.length_seconds)
        )
        key = {"channel": channel, "note": int(np.clip(hit.pitch - shift, 1, 127))}
        timed.append((on, 4, mido.Message("note_on", velocity=int(np.clip(hit.velocity, 1, 127)), **key)))
        timed.append((max(off, on + 1), 0, mido.Message("note_off", velocity=0, **key)))
        if slides and not drums and rng.random() < slides:
            timed += _slide(channel, on, centre, int(rng.choice([-1, -1, 1])) * int(rng.integers(2_000, 8_000)))
    return _tracked(timed)


def _slide(channel: int, on: int, centre: int, far: int) -> list[tuple[int, int, mido.Message]]:
    """The wheel brings the note in from above or below within a tenth of a second."""
    bends = np.clip(centre + far * np.linspace(1, 0, 9), -8191, 8191).astype(int)
    bends[-1] = centre
    return [
        (on + i * 12, 3, mido.Message("pitchwheel", channel=channel, pitch=int(bend))) for i, bend in enumerate(bends)
    ]


def _tracked(timed: list[tuple[int, int, mido.Message]]) -> mido.MidiFile:
    track, now = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)]), 0
    for tick, _, message in sorted(timed, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=TICKS_PER_SECOND))
    return mido.MidiFile(ticks_per_beat=TICKS_PER_SECOND, tracks=[track])
