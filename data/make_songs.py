"""Renders the sample songs of this folder from their scores: `python data/make_songs.py --help`.

Seeded: the same tools give the same bytes. Takes about 25 seconds a song on one core.
"""

import argparse
import multiprocessing
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np
import soundfile
from songs import harbour_lights, mixing, spark_and_static, the_slow_river
from songs.instruments import RATE, SOUNDFONT, play
from songs.score import STEMS, Song
from songs.singing import sing
from songs.speech import Speaker

SONGS = {module.SONG.slug: module.SONG for module in (harbour_lights, spark_and_static, the_slow_river)}
ARTIST = "MSaaS"
LICENCE = "CC0 1.0: https://creativecommons.org/publicdomain/zero/1.0/"
BITRATE = 192_000
PEAK = 10 ** (-1.8 / 20)  # room for what MP3 adds to a peak: the decoded file stays under −1 dBFS
DRIVE_DB = -1.0


def stems_of(song: Song, soundfont: Path, speaker: Speaker) -> dict[str, np.ndarray]:
    """The finished stems: [2, samples] each, float64, 44.1 kHz; their sum is the song."""
    samples = round((song.seconds(song.beats) + song.tail_seconds) * RATE)
    stems = {name: np.zeros((2, samples)) for name in STEMS}
    for stem, sound in dry_tracks(song, soundfont, speaker, samples):
        stems[stem] += sound
    shaped = {stem: shape_stem(stem, sound) for stem, sound in stems.items()}
    balanced = {stem: mixing.levelled(sound, song.balance_db[stem]) for stem, sound in shaped.items()}
    mastered = mixing.mastered(balanced, DRIVE_DB, PEAK)
    return {stem: mixing.faded_out(sound, 0.8) for stem, sound in mastered.items()}


def dry_tracks(song: Song, soundfont: Path, speaker: Speaker, samples: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each part and voice, with its place in the mix: (stem, sound)."""
    answer = mixing.room(song.reverb_seconds, dice(song, "room"))
    for part in song.parts:
        sound = fitted(play(song, part, soundfont, dice(song, part.name)), samples)
        sound = mixing.band(sound, part.low_cut_hz, part.high_cut_hz)
        yield part.stem, placed(sound, part.level_db, part.pan, part.reverb, answer)
    for voice in song.voices:
        sound = sing(song, voice, speaker, samples, dice(song, f"voice {voice.name}"))
        sound = mixing.compressed(mixing.band(sound, 130, 15_000), over_db=-2, ratio=3)
        sound = mixing.bell(mixing.bell(sound, 350, -2.5), 3200, 3.0)
        yield "vocals", placed(sound, voice.level_db, voice.pan, voice.reverb, answer)


def placed(sound: np.ndarray, level_db: float, pan: float, reverb: float, answer: np.ndarray) -> np.ndarray:
    levelled = mixing.pan(mixing.levelled(sound, level_db - 20.0), pan)
    return mixing.reverberant(levelled, answer, reverb)


def shape_stem(stem: str, sound: np.ndarray) -> np.ndarray:
    """What a stem needs as a whole: drums and bass are held together, and given their places."""
    if stem == "drums":
        shaped = mixing.bell(mixing.bell(sound, 70, 2.0), 6000, 2.5, q=0.7)
        return mixing.compressed(shaped, over_db=1, ratio=3, seconds=0.006)
    if stem == "bass":
        return mixing.compressed(mixing.bell(sound, 900, 2.0), over_db=0, ratio=3)
    if stem == "other":
        return mixing.bell(mixing.bell(sound, 2500, -1.5), 9000, 4.0, q=0.7)
    return sound


def fitted(sound: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(sound, ((0, 0), (0, max(samples - sound.shape[1], 0))))[:, :samples]


def dice(song: Song, name: str) -> np.random.Generator:
    """A generator of its own for each track, so that a change to one leaves the others alone."""
    return np.random.default_rng([song.seed, zlib.crc32(name.encode())])


def write_mp3(path: Path, song: Song, mix: np.ndarray) -> None:
    tags = {"title": song.title, "artist": ARTIST, "genre": song.style, "copyright": LICENCE}
    frame = av.AudioFrame.from_ndarray(mix.astype(np.float32), format="fltp", layout="stereo")
    frame.sample_rate = RATE
    with av.open(str(path), "w", format="mp3", options={"fflags": "+bitexact"}) as file:
        file.metadata.update(tags)
        stream = file.add_stream("libmp3lame", rate=RATE, layout="stereo", format="fltp", bit_rate=BITRATE)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def write_stems(folder: Path, song: Song, stems: dict[str, np.ndarray]) -> None:
    folder = folder / song.slug
    folder.mkdir(parents=True, exist_ok=True)
    for stem, sound in stems.items():
        soundfile.write(folder / f"{stem}.flac", sound.T, RATE, subtype="PCM_24")


def make(song: Song, out: Path, stems_out: Path | None, soundfont: Path) -> str:
    stems = stems_of(song, soundfont, Speaker())
    mix = sum(stems.values())
    write_mp3(out / f"{song.slug}.mp3", song, mix)
    if stems_out is not None:
        write_stems(stems_out, song, stems)
    levels = ", ".join(f"{stem} {mixing.loudness_db(sound):.1f}" for stem, sound in stems.items())
    return f"{song.slug}.mp3: {mix.shape[1]} samples, mix {mixing.loudness_db(mix):.1f} dBFS ({levels})"


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", nargs="*", metavar="song", help=f"one or more of {', '.join(SONGS)} (default: all)")
    parser.add_argument("--out", type=Path, default=here, help="folder for the MP3s (default: this one)")
    parser.add_argument("--stems", type=Path, help="folder for the true stems, as FLAC (default: not written)")
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT, help="default: %(default)s")
    choice = parser.parse_args()
    if unknown := [slug for slug in choice.song if slug not in SONGS]:
        parser.error(f"no song {', '.join(unknown)}; there are {', '.join(SONGS)}")
    choice.out.mkdir(parents=True, exist_ok=True)
    # espeak-ng's noise goes on from what it said before: a fresh process a song, or order would show.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as pool:
        for slug in choice.song or SONGS:
            print(pool.submit(make, SONGS[slug], choice.out, choice.stems, choice.soundfont).result(), flush=True)


if __name__ == "__main__":
    main()
