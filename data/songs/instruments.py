"""Plays one instrument part with FluidSynth. Asks for the soundfont by path; fetches nothing."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import mido
import numpy as np
import soundfile

from songs.score import Note, Part, Song

RATE = 44_100
TICKS_PER_BEAT = 960
DRUM_CHANNEL = 9
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")


class ToolMissing(Exception):
    """A program or file that rendering needs is not on this machine."""


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ToolMissing(f"{name} is not installed; data/README.md lists what to install")
    return path


def play(song: Song, part: Part, soundfont: Path, rng: np.random.Generator) -> np.ndarray:
    """One part, dry. Returns [2, samples] float64 at 44.1 kHz, from the song's first beat."""
    if not soundfont.is_file():
        raise ToolMissing(f"no soundfont at {soundfont}; data/README.md names the package")
    with tempfile.TemporaryDirectory() as scratch:
        score, sound = Path(scratch, "part.mid"), Path(scratch, "part.wav")
        midi_file(song, part, rng).save(score)
        options = ["-ni", "-q", "-R", "0", "-C", "0", "-g", "0.4", "-r", str(RATE)]
        options += ["-O", "float", "-T", "wav", "-F", str(sound)]
        command = [tool("fluidsynth"), *options, str(soundfont), str(score)]
        subprocess.run(command, check=True, capture_output=True)
        samples, _ = soundfile.read(sound, always_2d=True)
    return samples.T


def midi_file(song: Song, part: Part, rng: np.random.Generator) -> mido.MidiFile:
    """The part as a MIDI file of one track, with a player's small unevenness in time and strength."""
    channel = DRUM_CHANNEL if part.stem == "drums" else 0
    timed = [(0, 0, mido.Message("program_change", channel=channel, program=part.program))]
    for note in part.notes:
        timed += _events(song, note, channel, rng)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(song.bpm))])
    now = 0
    for tick, _, message in sorted(timed, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=round(TICKS_PER_BEAT * song.bpm / 60 * 3)))
    return mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT, tracks=[track])


def _events(song: Song, note: Note, channel: int, rng: np.random.Generator) -> list[tuple]:
    """(tick, order, message) of a note's start and end; ends sort before starts at the same tick."""
    jitter_beats = rng.normal(0.0, 0.005) * song.bpm / 60
    start = max(note.start + swing(note.start, song.swing) + jitter_beats, 0.0)
    velocity = int(np.clip(note.velocity + rng.normal(0.0, 5.0), 1, 127))
    on, off = (round(time * TICKS_PER_BEAT) for time in (start, start + note.length))
    key = {"channel": channel, "note": note.pitch}
    return [
        (on, 1, mido.Message("note_on", velocity=velocity, **key)),
        (max(off, on + 1), 0, mido.Message("note_off", velocity=0, **key)),
    ]


def swing(start: float, amount: float) -> float:
    """Beats by which a note on an off sixteenth comes late."""
    off_sixteenth = abs((start % 0.5) - 0.25) < 0.02
    return 0.25 * amount if off_sixteenth else 0.0
