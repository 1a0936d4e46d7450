"""Sounds to test with, and the two independent decoders that judge what comes back."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import soundfile

from msaas.audio.encode.mp3 import Mp3Writer

RATE = 44_100
DATA = Path(__file__).resolve().parents[3] / "data"


def tune(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """[2, n] float32: a beat, a bass note and a chord; each seed another tune."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    beat = rng.normal(size=t.size) * np.exp(-((t * 2) % 1) * 20) * 0.2
    bass = 0.2 * np.sin(2 * np.pi * rng.uniform(45, 90) * t)
    chord = sum(0.06 * np.sin(2 * np.pi * rng.uniform(200, 900) * t) for _ in range(3))
    return np.stack([beat + bass + chord, beat + bass - 0.5 * chord]).astype(np.float32)


def flac(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


def mp3(samples: np.ndarray, folder: Path, rate: int = RATE) -> bytes:
    """At 320 kbit/s, written by way of a file in `folder`."""
    channels, length = samples.shape
    path = folder / "encoded.mp3"
    with Mp3Writer(path, sample_rate=rate, channels=channels, total_samples=length, bitrate_kbps=320) as writer:
        writer.write(samples)
    return path.read_bytes()


def decode_with_av(data: bytes) -> np.ndarray:
    """[channels, n] float32."""
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="fltp")
        blocks = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(blocks, axis=1)


def decode_with_soundfile(data: bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return samples.T
