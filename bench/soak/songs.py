"""Short tunes in the containers that people send, and files that are no songs. Each upload is another job."""

from __future__ import annotations

import io
import random
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil
from pathlib import Path

import numpy as np
import soundfile

from msaas.audio.encode.mp3 import Mp3Writer
from msaas.formats import FORMATS
from tests.support.audio.sounds import tune

MODEL_RATE = 44_100
TUNES = 24
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 6.0
KINDS = {one.name: one.media_type for one in FORMATS.values()}
RATES = {"mp3": (44_100, 48_000), "flac": (44_100, 22_050), "wav": (44_100, 8_000)}


@dataclass(frozen=True)
class Tune:
    """`samples` of each of its stems."""

    number: int
    kind: str
    samples: int
    sound: bytes

    @property
    def content_type(self) -> str:
        return KINDS[self.kind]


class Songs:
    """The tunes of one soak. An ID3 tag, which no decoder hears, makes each upload a song of its own."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        self.tunes = [_tune(number, chance) for number in range(TUNES)]
        self._numbers, self._run = count(), uuid.uuid4().hex

    def upload(self, tune: Tune) -> bytes:
        return _id3_tag(f"{self._run}{next(self._numbers):010d}") + tune.sound

    def without_numbers(self) -> bytes:
        """A WAV whose samples are all NaN."""
        file = io.BytesIO()
        soundfile.write(file, np.full((22_050, 2), np.nan), MODEL_RATE, format="WAV", subtype="FLOAT")
        return _id3_tag(f"{self._run}{next(self._numbers):010d}") + file.getvalue()

    def damaged(self, chance: random.Random) -> tuple[bytes, str]:
        """Bytes that are refused, and their content type."""
        tune = chance.choice(self.tunes)
        bad: Sequence[tuple[bytes, str]] = (
            (b"", "audio/mpeg"),
            (chance.randbytes(20_000), "audio/mpeg"),
            (b'{"mp3": "no base64!"}', "application/json"),
            (b'{"mp3": ', "application/json"),
            (b"--x\r\nno form", "multipart/form-data; boundary=y"),
            (tune.sound[:30], tune.content_type),
        )
        return chance.choice(bad)


def _tune(number: int, chance: random.Random) -> Tune:
    kind = chance.choice(sorted(KINDS))
    rate = chance.choice(RATES[kind])
    seconds = SHORTEST_SECONDS + (LONGEST_SECONDS - SHORTEST_SECONDS) * number / (TUNES - 1)
    sound = tune(seconds, seed=number, rate=rate)
    encoded = _mp3(sound, rate) if kind == "mp3" else _with_soundfile(sound, rate, kind)
    return Tune(number, kind, ceil(sound.shape[1] * MODEL_RATE / rate), encoded)


def _mp3(sound: np.ndarray, rate: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tune.mp3"
        length = sound.shape[1]
        with Mp3Writer(path, sample_rate=rate, channels=2, total_samples=length, bitrate_kbps=128) as writer:
            writer.write(sound)
        return path.read_bytes()


def _with_soundfile(sound: np.ndarray, rate: int, kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound.T, rate, format=kind.upper(), subtype="PCM_16")
    return file.getvalue()


def _id3_tag(text: str) -> bytes:
    body = b"\0" + text.encode()
    frame = b"TIT2" + len(body).to_bytes(4, "big") + b"\0\0" + body
    return b"ID3\x03\0\0" + bytes([0, 0, 0, len(frame)]) + frame  # fewer than 128 bytes: one 7-bit digit
