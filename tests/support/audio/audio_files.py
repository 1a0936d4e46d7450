"""Songs made on the spot with PyAV and NumPy, and two independent decoders to hear them with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from msaas.audio.decode.decoder import Decoder

Samples = np.ndarray  # [channels, n] float32


def music(n: int, channels: int = 2, rate: int = 44_100, seed: int = 0) -> Samples:
    """Tones under noise: compressible, broadband, different in each channel, well below full scale."""
    noise = np.random.default_rng(seed).standard_normal((channels, n)) * 0.03
    t = np.arange(n) / rate
    tones = [np.sin(2 * np.pi * (220 + 110 * channel) * t) * 0.3 for channel in range(channels)]
    return (np.array(tones) + noise).astype(np.float32)


def as_frame(samples: Samples, rate: int = 44_100, layout: str = "stereo") -> av.AudioFrame:
    # Interleaved: PyAV counts one plane too many in a planar frame of eight channels.
    interleaved = np.ascontiguousarray(samples.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def write_song(
    path: Path, samples: Samples, *, codec: str, container: str, rate: int = 44_100, layout: str | None = None
) -> Path:
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[samples.shape[0]]
    with av.open(str(path), "w", format=container) as out:
        options = {"strict": "experimental"} if codec in ("vorbis", "opus") else {}
        stream = out.add_stream(codec, rate=rate, layout=layout, options=options)
        if samples.shape[1]:
            out.mux(stream.encode(as_frame(samples, rate, layout)))
        out.mux(stream.encode(None))
    return path


def heard_by_pyav(path: Path) -> Samples:
    """By PyAV alone, without any of our code: gapless as FFmpeg itself has it."""
    with av.open(str(path)) as container:
        to_float = av.AudioResampler(format="fltp")
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in to_float.resample(frame)]
    return np.concatenate(parts, axis=1)


def heard_by_soundfile(path: Path) -> Samples:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def decoded(path: Path, sample_rate: int = 44_100, channels: int = 2) -> Samples:
    return np.concatenate(list(Decoder(path, sample_rate=sample_rate, channels=channels).blocks()), axis=1)


def lag(heard: Samples, meant: Samples, reach: int = 3_000) -> int:
    """By how many samples `heard` comes after `meant`: the peak of their cross-correlation."""
    a, b = heard.mean(axis=0), meant.mean(axis=0)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    around = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    return int(np.argmax(around)) - reach
