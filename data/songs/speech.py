"""Speech from espeak-ng with the time of every phoneme. One speaker a process; no files."""

import ctypes
import ctypes.util
from dataclasses import dataclass

import numpy as np

from songs.instruments import ToolMissing

# From espeak-ng's speak_lib.h.
SYNCHRONOUS, PHONEME_EVENTS = 2, 1
EVENT_LIST_END, EVENT_PHONEME = 0, 7
UTF8, RATE_PARAMETER, PITCH_PARAMETER = 1, 1, 3
VOWEL_STARTS = "aeiouAEIOUV03@"


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Phoneme:
    """A sound of speech, from `start` to `end` seconds; espeak-ng's own name for it."""

    name: str
    start: float
    end: float

    @property
    def is_vowel(self) -> bool:
        return self.name.lstrip("'ˈ,ˌ")[:1] in tuple(VOWEL_STARTS)


class Speaker:
    """espeak-ng's library, opened once. Raises ToolMissing where it is not installed.

    Its noise sources keep their state in the process, so words sound the same again only in the same order.
    """

    def __init__(self) -> None:
        path = ctypes.util.find_library("espeak-ng")
        if path is None:
            raise ToolMissing("espeak-ng is not installed; data/README.md lists what to install")
        self.library = ctypes.CDLL(path)
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS)

    def say(self, words: str, voice: str, words_per_minute: int = 125) -> tuple[np.ndarray, list[Phoneme]]:
        """Mono speech, float64 at `self.rate`, and its phonemes in order."""
        sound: list[np.ndarray] = []
        marks: list[tuple[str, float]] = []

        def collect(wave, count, events) -> int:  # type: ignore[no-untyped-def]
            if wave and count:
                sound.append(np.ctypeslib.as_array(wave, (count,)).astype(float) / 32768)
            index = 0
            while events[index].type != EVENT_LIST_END:
                if events[index].type == EVENT_PHONEME:
                    marks.append((events[index].name.decode(), events[index].sample / self.rate))
                index += 1
            return 0

        self._configure(voice, words_per_minute)
        callback, text = _CALLBACK(collect), words.encode()
        self.library.espeak_SetSynthCallback(callback)
        self.library.espeak_Synth(text, len(text) + 1, 0, 1, 0, UTF8, None, None)
        samples = np.concatenate(sound)
        return samples, _phonemes(marks, len(samples) / self.rate)

    def _configure(self, voice: str, words_per_minute: int) -> None:
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ToolMissing(f"espeak-ng has no voice {voice}")
        self.library.espeak_SetParameter(RATE_PARAMETER, words_per_minute, 0)
        self.library.espeak_SetParameter(PITCH_PARAMETER, 50, 0)


def _phonemes(marks: list[tuple[str, float]], end: float) -> list[Phoneme]:
    starts = [start for _, start in marks[1:]] + [end]
    pairs = zip(marks, starts, strict=True)
    return [Phoneme(name, start, stop) for (name, start), stop in pairs if name and stop > start]
