"""Small real models, a song, and Demucs' own answer to compare with."""

from __future__ import annotations

import os

# Before torch loads: see msaas.separation.PROCESS_ENVIRONMENT.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import socket
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs

from msaas.audio.decode.decoder import measure
from msaas.separation.engines.engine import cpu_threads
from msaas.separation.families.load import from_family
from msaas.separation.model import LoadedModel, from_demucs
from msaas.separation.pipeline import Separator
from tests.support.models.families import SMALL, seeded_network, write_config
from tests.support.models.full_model import htdemucs

# As on two cores, whatever OMP_NUM_THREADS says: with 64 threads, or eight on two busy cores, these take minutes.
torch.set_num_threads(min(2, cpu_threads()))

MODELS = Path(__file__).parents[2] / "models"
CPU = torch.device("cpu")
RATE = 44_100


def seeded(make: Callable[[], torch.nn.Module], seed: int = 0) -> torch.nn.Module:
    """A network with random weights, its layer scales of ordinary size: as initialised (1e-3) they hide errors."""
    torch.manual_seed(seed)
    network = make().eval()
    for name, parameter in network.named_parameters():
        if name.endswith((".scale", "gamma_1.scale", "gamma_2.scale")):
            torch.nn.init.uniform_(parameter, 0.2, 0.6)
    return network


def tiny(sources: list[str], segment: float | Fraction = Fraction(3, 2), seed: int = 0, **more) -> Any:
    kwargs = {"channels": 8, "t_layers": 1, "t_heads": 2, "segment": segment, **more}
    return seeded(lambda: HTDemucs(sources=sources, **kwargs), seed)


def mixed_bag() -> BagOfModels:
    """Three networks of different segments, one of them of no weight for b."""
    networks = [tiny(["a", "b"], Fraction(3, 2), 1), tiny(["a", "b"], Fraction(1), 2), tiny(["a", "b"], 2, 3)]
    return BagOfModels(networks, [[1.0, 0.5], [0.25, 2.0], [1.0, 0.0]])


NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "two sources": lambda: tiny(["speech", "rest"]),
    "six sources": lambda: tiny(["drums", "bass", "other", "vocals", "guitar", "piano"]),
    "free length": lambda: tiny(["a", "b"], use_train_segment=False),
    "hybrid": lambda: seeded(lambda: HDemucs(sources=["a", "b"], channels=4, segment=1)),
    "waveform": lambda: seeded(lambda: Demucs(sources=["a", "b"], channels=4, depth=4, lstm_layers=0, segment=1)),
    "bag": mixed_bag,
}


def noise(samples: int, seed: int = 0, channels: int = 2) -> np.ndarray:
    """[C, n] float32: tones that come and go over noise, off centre, so that every part of a mistake shows."""
    generator = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    tones = sum(
        0.1 * np.sin(2 * np.pi * pitch * time) * np.sin(2 * np.pi * beat * time) ** 2
        for pitch, beat in ((110, 0.9), (440, 0.4), (1760, 1.3))
    )
    return (tones + 0.05 * generator.standard_normal((channels, samples)) + 0.01).astype(np.float32)


def blocks_of(wav: np.ndarray, size: int = 5000) -> Iterator[np.ndarray]:
    for start in range(0, wav.shape[-1], size):
        yield wav[:, start : start + size]


def stats_of(wav: np.ndarray):
    return measure(SimpleNamespace(blocks=lambda: blocks_of(wav)))


def demucs_says(network: torch.nn.Module, wav: np.ndarray, overlap: float = 0.25, shifts: int = 0) -> np.ndarray:
    """demucs.api.Separator.separate_tensor: [S, C, n]."""
    mix = torch.from_numpy(wav)
    ref = mix.mean(0)
    std = (ref.std() if ref.numel() > 1 else torch.zeros(())) + 1e-8
    with torch.inference_mode():
        out = apply_model(network, ((mix - ref.mean()) / std)[None], shifts=shifts, split=True, overlap=overlap)
    return (out[0] * std + ref.mean()).numpy()


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The helpers of this file, for tests that are imported apart from it."""
    return SimpleNamespace(
        CPU=CPU,
        MODELS=MODELS,
        NETWORKS=NETWORKS,
        RATE=RATE,
        blocks_of=blocks_of,
        demucs_says=demucs_says,
        noise=noise,
        seeded=seeded,
        stats_of=stats_of,
        tiny=tiny,
    )


@pytest.fixture(scope="session")
def networks() -> dict[str, torch.nn.Module]:
    return {name: make() for name, make in NETWORKS.items()}


@pytest.fixture(scope="session")
def exact_htdemucs() -> torch.nn.Module:
    return seeded(htdemucs)


@pytest.fixture(scope="session")
def four_sources() -> torch.nn.Module:
    return tiny(["drums", "bass", "other", "vocals"], seed=7)


@pytest.fixture(scope="session")
def model(four_sources: torch.nn.Module) -> LoadedModel:
    return from_demucs("tiny", four_sources)


@pytest.fixture(scope="session")
def separator(model: LoadedModel) -> Separator:
    """In float32, which each machine has, and which equals Demucs."""
    return Separator(model, CPU, precision="fp32")


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """A seeded network of each family."""
    folder = tmp_path_factory.mktemp("families")
    configs = {family: write_config(SMALL[family], folder / f"{family}.yaml") for family in SMALL}
    return {family: from_family(family, config, seeded_network(config)) for family, config in configs.items()}


@pytest.fixture
def write_wav(tmp_path: Path) -> Callable[[np.ndarray], Path]:
    """Writes [C, n] float32 as a WAV that holds exactly those samples."""

    def write(wav: np.ndarray, name: str = "song.wav") -> Path:
        path = tmp_path / name
        soundfile.write(path, wav.T, RATE, subtype="FLOAT")
        return path

    return write


@pytest.fixture
def song(write_wav: Callable[[np.ndarray], Path]) -> Path:
    return write_wav(noise(int(2.6 * RATE) + 11))


class FileServer(ThreadingHTTPServer):
    """Serves `files` (path ▸ bytes) on loopback with ranges, as a hub or a mirror does, and with faults on request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _FileHandler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.break_after: dict[str, list[int]] = {}  # path ▸ after how many bytes each GET in turn is cut
        self.asked: list[tuple[str, str]] = []  # method, path
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self, suffix: str) -> int:
        return sum(method == "GET" and path.endswith(suffix) for method, path in self.asked)


class _FileHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *_args) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.server.asked.append((self.command, self.path))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = self._range(len(content))
        own = self.server.headers.get(self.path, {})
        self.send_response(302 if "Location" in own else 206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        for name, value in own.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self._send(content[first : last + 1])

    def _range(self, size: int) -> tuple[int, int]:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        return int(first), int(last) if last else size - 1

    def _send(self, content: bytes) -> None:
        breaks = self.server.break_after.get(self.path, [])
        if breaks and len(content) > 1:  # not the probe's one byte
            self.wfile.write(content[: breaks.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(content)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def silent_url() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def refusing_url() -> str:
    """An address that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """A network as the safetensors file that demucs.hf reads (demucs' tools/export_hf.py)."""

    def export(network: torch.nn.Module, klass: str | None = None) -> bytes:
        args, kwargs = network._init_args_kwargs
        kind = type(network)
        metadata = {
            "klass": klass or f"{kind.__module__}.{kind.__qualname__}",
            "args": json.dumps(args, default=_fraction),
            "kwargs": json.dumps(kwargs, default=_fraction),
        }
        path = tmp_path_factory.mktemp("export") / "network.safetensors"
        state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        safetensors.torch.save_file(state, path, metadata)
        return path.read_bytes()

    return export


def _fraction(value: Fraction) -> dict[str, object]:
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
