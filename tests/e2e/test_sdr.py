"""The whole path keeps what the model can do: SDR over HTTP against what Demucs itself reaches with the same weights.

The songs and `recorded.json` are made by models/htdemucs_mini/training/gate.py; the model never learnt from them.
"""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.audio.sounds import RATE, decode_with_av, mp3

GATE = Path(__file__).parent / "gate"
RECORDED = json.loads((GATE / "recorded.json").read_text())
*OTHERS, QUICK = RECORDED
WITHIN_DB = 0.1


def stems_of(song: str) -> dict[str, np.ndarray]:
    return {stem: decode_with_av((GATE / song / f"{stem}.mp3").read_bytes()) for stem in RECORDED[song]}


def as_wav(mixture: np.ndarray, _folder: Path) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, mixture.T, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - estimate) ** 2).sum()))


@pytest.mark.parametrize("encode", [pytest.param(as_wav, marks=pytest.mark.slow), mp3])
@pytest.mark.parametrize("song", [QUICK, *(pytest.param(song, marks=pytest.mark.slow) for song in OTHERS)])
def test_the_service_separates_as_well_as_the_model(live, song, encode, tmp_path):
    stems = stems_of(song)
    songhash = live.submit(encode(sum(stems.values()), tmp_path))
    live.until(songhash, "done")
    reached = {stem: sdr(decode_with_av(live.stem(songhash, stem)), stems[stem]) for stem in stems}
    pairs = {stem: (reached[stem], RECORDED[song][stem]) for stem in stems}
    assert all(abs(value - recorded) < WITHIN_DB for value, recorded in pairs.values()), pairs
