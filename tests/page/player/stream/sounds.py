"""Files of stems, served as the service does it, and songs too long for a browser to be asked to hold them decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from playwright.sync_api import Page, Route

from msaas.audio.encode.open_writer import open_writer
from tests.page.conftest import STEMS
from tests.support.audio.sounds import flac, tune
from tests.support.service import Service

RATE = 44_100
LONG_SECONDS = 600
TOOTH = 2**15  # frames until the test signal repeats; a sample is one step of 16 bits above the one before it
OPUS = {"format": "OGG", "subtype": "OPUS"}  # for soundfile
VARIABLE = {"format": "MP3", "bitrate_mode": "VARIABLE"}


def noisy(channels: int, seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    """[channels, n], no two samples alike."""
    samples = tune(seconds, seed=5, rate=rate)[:channels]
    return samples + np.random.default_rng(1).normal(scale=0.05, size=samples.shape).astype(np.float32)


def encoded(path: Path, channels: int, seconds: float, rate: int = RATE, **options: Any) -> Path:
    samples = noisy(channels, seconds, rate)
    with open_writer(
        path,
        path.suffix[1:],
        sample_rate=rate,
        channels=channels,
        total_samples=samples.shape[1],
        **options,
    ) as writer:
        writer.write(samples)
    return path


def serve_ranges(page: Page, path: Path) -> None:
    data = path.read_bytes()

    def answer(route: Route) -> None:
        first, last = map(int, route.request.headers["range"].removeprefix("bytes=").split("-"))
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        route.fulfill(status=206, body=data[first : last + 1], headers=headers)

    page.route(f"**/{path.name}", answer)
    page.route(f"**/whole-{path.name}", lambda route: route.fulfill(body=data))


def encoded_elsewhere(path: Path, channels: int, seconds: float, rate: int, **options: Any) -> Path:
    """By libsndfile, a writer that is not ours. Noise comes and goes, so that a variable bit rate varies."""
    samples = noisy(channels, seconds, rate)
    samples[:, (np.arange(samples.shape[1]) // rate) % 3 == 1] *= 0.01
    soundfile.write(path, samples.T, rate, **options)
    return path


def saw_tooth(path: Path, frames: int = LONG_SECONDS * RATE, first: int = 0) -> Path:
    """It shows each missing sample. `first`: the frame of the tooth that it begins with."""
    tooth = ((np.arange(frames, dtype=np.int32) + first) % TOOTH).astype(np.int16)
    soundfile.write(path, tooth, RATE, format="FLAC", subtype="PCM_16")
    return path


def put_long_song(service: Service, stem: Path, seconds: float = LONG_SECONDS, **options: Any) -> str:
    """A done song whose stems are all this file. `options`: of the job."""
    extension = stem.suffix[1:]
    songhash = service.submit(flac(tune(1, seed=733)), format=extension, **options)
    service.until(songhash, "done")
    for name in STEMS:
        service.storage.put_stem(f"{songhash}-{name}.{extension}", stem)
    frames = round(seconds * RATE)
    drawn = json.loads(service.storage.read_waveforms(songhash))
    drawn |= {"total_samples": frames, "done_samples": frames}
    service.storage.put_waveforms(songhash, json.dumps(drawn).encode())
    return songhash
