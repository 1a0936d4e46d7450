"""Makes speech sing: espeak-ng's words, WORLD's vocoder, the score's melody. Dry, mono, no mixing.

Each syllable's vowel begins on its note and is held to the next consonant; consonants keep the
length that they have in speech, and unvoiced ones stay noise.
WORLD: Morise et al., IEICE Trans. Inf. & Syst. E99-D(7), 2016.
"""

from dataclasses import dataclass

import numpy as np
import pyworld
from scipy.signal import butter, resample_poly, sosfilt

from songs.instruments import RATE
from songs.score import Line, Note, Song, Voice
from songs.speech import Phoneme, Speaker

FRAME_SECONDS = 0.005
VOWEL_HEAD_SECONDS = 0.06  # kept at its own pace: the glide out of the consonant
RELEASE_SECONDS = 0.09
GLIDE_SECONDS = 0.07


class ScoreMismatch(Exception):
    """A line has more or fewer syllables than notes, or a rest inside."""


@dataclass(frozen=True)
class Voiceprint:
    """WORLD's description of speech, a row a frame of 5 ms."""

    voiced: np.ndarray  # [frames], 0 … 1
    envelope: np.ndarray  # [frames, bins], log power
    noise: np.ndarray  # [frames, bins], 0 … 1


def sing(song: Song, voice: Voice, speaker: Speaker, samples: int, rng: np.random.Generator) -> np.ndarray:
    """All of a voice's lines. Returns [2, samples] float64 at 44.1 kHz, dry, the same on both sides."""
    track = np.zeros(samples)
    for line in voice.lines:
        start, sound = sing_line(song, voice, line, speaker, rng)
        first = max(round(start * RATE), 0)
        room = min(len(sound), samples - first)
        track[first : first + room] += sound[:room]
    return np.stack([track, track])


def sing_line(
    song: Song, voice: Voice, line: Line, speaker: Speaker, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """The second at which the line's first consonant starts, and the line at 44.1 kHz."""
    speech, phonemes = speaker.say(line.words, voice.speaker)
    warp_out, warp_in = time_map(song, line, phonemes)
    times = np.arange(warp_out[0], warp_out[-1], FRAME_SECONDS)
    source = np.interp(times, warp_out, warp_in)
    timbre = resampled(analyse(speech, speaker.rate), source, voice.formants)
    hertz = melody(song, voice, line.notes, times, rng)
    sound = pyworld.synthesize(
        np.where(timbre.voiced > 0.5, hertz, 0.0),
        np.exp(timbre.envelope),
        timbre.noise,
        speaker.rate,
        FRAME_SECONDS * 1000,
    )
    sound = _with_breath(resample_poly(sound, RATE, speaker.rate), rng)
    return times[0], _even(sound) * _fades(len(sound))


def analyse(speech: np.ndarray, rate: int) -> Voiceprint:
    speech = np.ascontiguousarray(speech)
    period = FRAME_SECONDS * 1000
    rough, times = pyworld.harvest(speech, rate, frame_period=period)
    hertz = pyworld.stonemask(speech, rough, times, rate)
    envelope = pyworld.cheaptrick(speech, hertz, times, rate)
    noise = pyworld.d4c(speech, hertz, times, rate)
    return Voiceprint((hertz > 0).astype(float), np.log(envelope + 1e-12), noise)


def resampled(voiceprint: Voiceprint, source_seconds: np.ndarray, formants: float) -> Voiceprint:
    """The frames that lie at the given seconds, with the spectrum stretched by `formants`."""
    place = np.clip(source_seconds / FRAME_SECONDS, 0, len(voiceprint.voiced) - 1.001)
    low = place.astype(int)
    share = place - low

    def between(rows: np.ndarray) -> np.ndarray:
        weight = share if rows.ndim == 1 else share[:, None]
        return rows[low] * (1 - weight) + rows[low + 1] * weight

    bins = np.arange(voiceprint.envelope.shape[1])
    envelope = between(voiceprint.envelope)
    stretched = np.stack([np.interp(bins / formants, bins, row) for row in envelope])
    return Voiceprint(
        between(voiceprint.voiced), np.ascontiguousarray(stretched), np.ascontiguousarray(between(voiceprint.noise))
    )


def time_map(song: Song, line: Line, phonemes: list[Phoneme]) -> tuple[list[float], list[float]]:
    """Where each moment of the sung line (seconds of the song) lies in the speech (seconds)."""
    spoken = [phoneme for phoneme in phonemes if not phoneme.name.startswith("_")]
    vowels = [phoneme for phoneme in spoken if phoneme.is_vowel]
    syllables = _syllables(line)
    if len(vowels) != len(syllables):
        names = " ".join(phoneme.name for phoneme in spoken)
        raise ScoreMismatch(f"{line.words!r}: {len(syllables)} notes, {len(vowels)} vowels ({names})")
    starts = [song.seconds(start) for start, _ in syllables]
    ends = [*starts[1:], song.seconds(syllables[-1][1])]
    after = [*(vowel.start for vowel in vowels[1:]), spoken[-1].end]
    out, into = [starts[0] - (vowels[0].start - spoken[0].start)], [spoken[0].start]
    for vowel, start, end, next_start in zip(vowels, starts, ends, after, strict=True):
        consonants = min(next_start - vowel.end, 0.45 * (end - start))
        held = end - consonants
        head = min(VOWEL_HEAD_SECONDS, 0.3 * (vowel.end - vowel.start), 0.3 * (held - start))
        tail = min(0.4 * (vowel.end - vowel.start), 0.3 * (held - start))
        out += [start, start + head, held - tail, held]
        into += [vowel.start, vowel.start + head, vowel.end - tail, vowel.end]
    return [*out, ends[-1], ends[-1] + RELEASE_SECONDS], [*into, spoken[-1].end, spoken[-1].end]


def _syllables(line: Line) -> list[tuple[float, float]]:
    """(start, end) in beats of each syllable; slurred notes belong to the one before."""
    syllables: list[tuple[float, float]] = []
    for note in line.notes:
        if syllables and abs(note.start - syllables[-1][1]) > 1e-6:
            raise ScoreMismatch(f"{line.words!r}: a rest at beat {syllables[-1][1]}; write two lines")
        if note.slur and syllables:
            syllables[-1] = (syllables[-1][0], note.start + note.length)
        else:
            syllables.append((note.start, note.start + note.length))
    return syllables


def melody(
    song: Song, voice: Voice, notes: tuple[Note, ...], times: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The sung pitch in Hz at each time: glides, a scoop at the start, vibrato on held notes, drift."""
    starts = np.array([song.seconds(note.start) for note in notes])
    which = np.clip(np.searchsorted(starts, times + GLIDE_SECONDS / 3, "right") - 1, 0, None)
    keys = np.array([note.pitch for note in notes], dtype=float)[which]
    window = np.hanning(round(GLIDE_SECONDS / FRAME_SECONDS) | 1)
    width = len(window) // 2
    glided = np.convolve(np.pad(keys, width, mode="edge"), window / window.sum(), "valid")
    since = np.clip(times - starts[which], 0, None)
    lengths = np.array([song.seconds(note.length) for note in notes])[which]
    depth = voice.vibrato_cents * np.clip((since - 0.22) / 0.3, 0, 1) * (lengths > 0.45)
    phase = 2 * np.pi * (rng.uniform(5.2, 5.8) * times + rng.uniform())
    scoop = -90 * np.exp(-np.clip(times - starts[0], 0, None) / 0.05)
    cents = depth * np.sin(phase) + scoop + _drift(len(times), rng) + voice.detune_cents
    return 440.0 * 2 ** ((glided + cents / 100 - 69) / 12)


def _drift(frames: int, rng: np.random.Generator) -> np.ndarray:
    """A slow wander of about 6 cents, as no voice holds still."""
    points = rng.normal(0.0, 6.0, frames // 40 + 3)
    return np.interp(np.arange(frames) / 40, np.arange(len(points)), points)


def _with_breath(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Air above 9 kHz, where espeak-ng's 22 kHz speech ends: noise that follows the sibilants."""
    sibilants = sosfilt(butter(4, [6000, 10_000], "bandpass", fs=RATE, output="sos"), sound)
    follow = np.abs(sosfilt(butter(2, 40, fs=RATE, output="sos"), np.abs(sibilants)))
    air = sosfilt(butter(4, [9000, 15_000], "bandpass", fs=RATE, output="sos"), rng.normal(size=len(sound)))
    return sound + 0.8 * follow * air


def _even(sound: np.ndarray) -> np.ndarray:
    """Levels syllables towards each other: speech fades at a sentence's end, a singer does not."""
    power = sosfilt(butter(1, 3.0, fs=RATE, output="sos"), sound**2)
    level = np.sqrt(np.maximum(power, 0)) + 1e-9
    loud = np.quantile(level, 0.9)
    return sound * np.clip((loud / level) ** 0.6, 0.5, 3.0) / loud


def _fades(samples: int) -> np.ndarray:
    fade_in, fade_out = round(0.01 * RATE), round(RELEASE_SECONDS * RATE)
    shape = np.ones(samples)
    shape[:fade_in] = np.linspace(0, 1, fade_in)
    shape[-fade_out:] *= np.cos(np.linspace(0, np.pi / 2, fade_out)) ** 2
    return shape
