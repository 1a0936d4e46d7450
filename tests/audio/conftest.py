"""Songs made on the spot, and two independent decoders to hear them with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.support.audio.audio_files import (
    Samples,
    as_frame,
    decoded,
    heard_by_pyav,
    heard_by_soundfile,
    lag,
    music,
    write_song,
)


@pytest.fixture(name="music")
def _music() -> Callable[..., Samples]:
    return music


@pytest.fixture(name="write_song")
def _write_song() -> Callable[..., Path]:
    return write_song


@pytest.fixture(name="as_frame")
def _as_frame() -> Callable[..., av.AudioFrame]:
    return as_frame


@pytest.fixture(name="decoded")
def _decoded() -> Callable[..., Samples]:
    return decoded


@pytest.fixture(name="lag")
def _lag() -> Callable[..., int]:
    return lag


@pytest.fixture(params=[heard_by_pyav, heard_by_soundfile], ids=["pyav", "soundfile"])
def hear(request: pytest.FixtureRequest) -> Callable[[Path], Samples]:
    """Each test that uses this runs through both decoders."""
    return request.param


@pytest.fixture(scope="session")
def both_hear() -> tuple[Callable[[Path], Samples], ...]:
    return (heard_by_pyav, heard_by_soundfile)
