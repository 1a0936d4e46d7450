"""Songs whose stems are real files, and a renderer whose turns a test takes itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient
from numpy.typing import NDArray

from msaas.audio.encode.open_writer import open_writer
from msaas.audio.limits import Limits
from msaas.mixing.renderer import MixRenderer
from msaas.mixing.run import MixContext
from msaas.queue import MIX_KEYS, Queue
from msaas.storage import Storage
from tests.support.api import client, done, fake_probe, make_app, player, scratch, song, song_bytes

__all__ = ["client", "done", "fake_probe", "make_app", "player", "scratch", "song"]

RATE = 44_100
Sound = NDArray[np.float32]


def tones(seed: int, samples: int, channels: int = 2, level: float = 0.2) -> Sound:
    """[channels, samples]: noise, which has no two equal samples."""
    return (np.random.default_rng(seed).uniform(-level, level, (channels, samples))).astype(np.float32)


@dataclass(frozen=True)
class Mixable:
    """A song that is done. `stems`: what was written of each, before encoding."""

    songhash: str
    stems: dict[str, Sound]
    samples: int

    @property
    def path(self) -> str:
        return f"/apiv1/jobs/{self.songhash}/mix"


@dataclass
class Studio:
    """Posts mixes, renders them, and reads what came out."""

    client: FlaskClient
    renderer: MixRenderer
    mixes: Queue
    storage: Storage
    folder: Path
    headers: dict[str, str]

    def post(self, song: Mixable, **asked: Any) -> Any:
        return self.client.post(song.path, json=asked, headers=self.headers)

    def view(self, mix: str) -> dict[str, Any]:
        return dict(self.client.get(f"/apiv1/jobs/{mix}", headers=self.headers).json)

    def mix(self, song: Mixable, **asked: Any) -> dict[str, Any]:
        """Posts a mix, renders it, and returns its job."""
        answer = self.post(song, **asked)
        assert answer.status_code == 202, answer.text
        self.renderer.turn()
        view = self.view(answer.json["songhash"])
        assert view["state"] == "done", view
        return view

    def heard(self, view: dict[str, Any]) -> tuple[Sound, int]:
        """[channels, samples] of a mix's file, and its rate."""
        path = self.download(view)
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return sound.T, rate

    def download(self, view: dict[str, Any]) -> Path:
        answer = self.client.get(view["stems"]["mix"], headers=self.headers)
        assert answer.status_code == 200, answer.text
        path = self.folder / f"downloaded.{view['mix']['format']}"
        path.write_bytes(answer.data)
        return path


@pytest.fixture
def mixes(redis: Any) -> Queue:
    return Queue(redis, lease_seconds=0.2, max_attempts=3, keys=MIX_KEYS)  # reaped by tests only


@pytest.fixture
def renderer(mixes: Queue, queue: Queue, storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> MixRenderer:
    folder = tmp_path_factory.mktemp("mixes")
    return MixRenderer(MixContext(mixes, queue, storage, Limits(), folder, heartbeat_seconds=0.1))


@pytest.fixture
def studio(client: FlaskClient, renderer: MixRenderer, mixes: Queue, storage: Storage, tmp_path: Path) -> Studio:
    return Studio(client, renderer, mixes, storage, tmp_path, {})


@pytest.fixture
def make_song(client: FlaskClient, queue: Queue, storage: Storage, tmp_path: Path) -> Callable[..., Mixable]:
    """A song with stems of these samples, saved in a format."""

    def make(
        *names: str,
        format: str = "wav",
        samples: int = 30_011,
        rate: int = RATE,
        channels: int = 2,
        level: float = 0.2,
        headers: dict[str, str] | None = None,
        hertz: float = 440,
        own_rate: int = 8000,
        part_samples: int | None = None,
    ) -> Mixable:
        query = {"format": format, "mono": "true" if channels == 1 else "false"}
        posted = client.post(
            "/apiv1/separate",
            query_string=query,
            data=song_bytes(hertz=hertz),
            content_type="audio/wav",
            headers=headers or {},
        )
        assert posted.status_code == 202, posted.text
        claim = queue.claim("studio")
        assert claim is not None
        stems = {name: tones(seed, samples, channels, level) for seed, name in enumerate(names or ("bass", "vocals"))}
        for name, sound in stems.items():
            path = tmp_path / f"{name}.{format}"
            sizes = {"sample_rate": rate, "channels": channels, "total_samples": samples}
            with open_writer(path, format, **sizes) as writer:
                writer.write(sound)
            storage.put_stem(f"{claim.songhash}-{name}.{format}", path)
        result = {
            "stems": dict.fromkeys(stems, format),
            "samples": samples,
            "sample_rate": rate,
            "duration_seconds": samples / rate,
            "model": {"name": "htdemucs_mini"},
            "report": {"part_samples": part_samples, "sample_rate_in": own_rate},
        }
        assert queue.finish(claim, result, samples / rate)
        return Mixable(claim.songhash, stems, samples)

    return make
