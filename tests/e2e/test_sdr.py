"""The whole path keeps what the models can do: SDR over HTTP against what the networks' own code reaches.

The songs and `recorded.json` are made by models/training/gate.py; the models never learnt from them.
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
QUICK = [("htdemucs_mini", "gate-two"), ("msaas_mini", "gate-two")]
OTHERS = [pair for pair in ((model, song) for model in RECORDED for song in RECORDED[model]) if pair not in QUICK]
WITHIN_DB = 0.1


def stems_of(song: str) -> dict[str, np.ndarray]:
    return {file.stem: decode_with_av(file.read_bytes()) for file in sorted((GATE / song).glob("*.mp3"))}


def as_wav(mixture: np.ndarray, _folder: Path) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, mixture.T, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - estimate) ** 2).sum()))


@pytest.mark.parametrize("encode", [pytest.param(as_wav, marks=pytest.mark.slow), mp3])
@pytest.mark.parametrize(("model", "song"), [*QUICK, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in OTHERS)])
def test_the_service_separates_as_well_as_the_model(live, model, song, encode, tmp_path):
    stems = stems_of(song)
    songhash = live.submit(encode(sum(stems.values()), tmp_path), model=model)
    live.until(songhash, "done", seconds=300)
    reached = {stem: sdr(decode_with_av(live.stem(songhash, stem)), stems[stem]) for stem in stems}
    pairs = {stem: (reached[stem], RECORDED[model][song][stem]) for stem in stems}
    assert all(abs(value - recorded) < WITHIN_DB for value, recorded in pairs.values()), pairs
