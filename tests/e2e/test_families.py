"""A song through the real service with a seeded network of each family, an ensemble of them, and each format."""

from __future__ import annotations

import numpy as np
import pytest
import requests

from msaas.client import Client
from tests.support.audio.sounds import RATE, decode_with_av, flac, tune
from tests.support.models.families import SMALL, write_model
from tests.support.service import shared_service

pytestmark = pytest.mark.slow
MIXED = "ensemble: [{model: scnet_tiny}, {model: bs_roformer_tiny, weights: {vocals: 2}}]"
NAMES = [f"{family}_tiny" for family in SMALL]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    for family, content in SMALL.items():
        write_model(folder / "models", f"{family}_tiny", content, seed=3)
    (folder / "models" / "mixed.yaml").write_text(MIXED)
    environ = {
        "MSAAS_MODEL_REPO": str(folder / "models"),
        "MSAAS_MODEL": NAMES[0],
        "MSAAS_MODELS": ",".join([*NAMES, "mixed"]),
        "MSAAS_PRECISION": "fp32",
    }
    with shared_service(folder, **environ) as service:
        yield service


def stems_of(service, song: np.ndarray, **options: str) -> dict[str, np.ndarray]:
    songhash = service.submit(flac(song), **options)
    job = service.until(songhash, "done", seconds=300)
    assert job["model"] == options["model"]
    return {stem: decode_with_av(service.stem(songhash, stem)) for stem in job["stems"]}


@pytest.mark.parametrize("name", [*NAMES, "mixed"])
def test_a_song_comes_out_as_whole_stems(service, name):
    song = tune(4, seed=len(name))
    stems = stems_of(service, song, model=name, format="wav")
    four = {"drums", "bass", "other", "vocals"}
    assert set(stems) == ({"vocals", "other"} if "roformer" in name else four)
    for stem in stems.values():
        assert stem.shape == song.shape
        assert np.isfinite(stem).all()
        assert 1e-6 < np.sqrt(np.mean(stem**2)) < 10 * np.sqrt(np.mean(song**2))


@pytest.mark.parametrize("name", ["bs_roformer_tiny", "mel_band_roformer_tiny"])
@pytest.mark.parametrize(("format_", "error"), [("wav", 1e-3), ("flac", 1e-3), ("mp3", 0.1)])
def test_a_target_and_its_rest_add_up_in_each_format(service, name, format_, error):
    song = tune(4, seed=9)
    stems = stems_of(service, song, model=name, format=format_)
    total = sum(stem[:, : song.shape[1]] for stem in stems.values())
    middle = slice(RATE // 2, song.shape[1] - RATE // 2)
    level = np.sqrt(np.mean(song[:, middle] ** 2))
    assert np.sqrt(np.mean((total - song)[:, middle] ** 2)) <= error * level
    assert lag(song, total) == 0


def lag(a: np.ndarray, b: np.ndarray) -> int:
    """Samples by which `b` is late against `a`, by cross-correlation of their first channels."""
    size = 1 << (2 * a.shape[1] - 1).bit_length()
    peak = int(np.argmax(np.fft.irfft(np.fft.rfft(b[0], size) * np.conj(np.fft.rfft(a[0], size)), size)))
    return peak if peak < size // 2 else peak - size


@pytest.mark.parametrize(("format_", "error"), [("wav", 1e-3), ("flac", 1e-3), ("mp3", 0.1)])
def test_parts_of_refined_stems_add_up_to_them_in_each_format(service, format_, error):
    song = tune(4, seed=11)
    refine = {"drums": "mdx23c_tiny", "vocals": "mel_band_roformer_tiny"}
    given = ",".join(f"{stem}={model}" for stem, model in refine.items())
    stems = stems_of(service, song, model="scnet_tiny", format=format_, refine=given)
    four = ["drums", "bass", "other", "vocals"]
    parts = {"drums": [*four, "residual"], "vocals": ["vocals", "other"]}
    assert set(stems) == {*four, *(f"{stem}.{part}" for stem in parts for part in parts[stem])}
    middle = slice(RATE // 2, song.shape[1] - RATE // 2)
    for stem, names in parts.items():
        whole = stems[stem][:, : song.shape[1]]
        total = sum(stems[f"{stem}.{name}"][:, : song.shape[1]] for name in names)
        level = np.sqrt(np.mean(whole[:, middle] ** 2))
        assert np.sqrt(np.mean((total - whole)[:, middle] ** 2)) <= error * level
        assert lag(whole, total) == 0


def test_a_job_with_refined_stems_has_one_set_of_waveforms_and_says_which_models_ran(service, tmp_path):
    song = tune(3, seed=12)
    songhash = service.submit(flac(song), model="scnet_tiny", refine="drums=mdx23c_tiny")
    job = service.until(songhash, "done", seconds=300)
    assert job["options"]["refine"] == {"drums": "mdx23c_tiny"} and job["progress"] == 1
    paths = Client(service.url).download(Client(service.url).job(songhash), tmp_path)
    assert {path.name for path in paths.values()} == {f"{stem}.mp3" for stem in job["stems"]}
    drawn = requests.get(f"{service.url}/apiv1/jobs/{songhash}/waveforms", timeout=60).json()
    assert set(drawn["stems"]) == set(job["stems"]) and drawn["done_samples"] == drawn["total_samples"]
