"""Makes the two short songs that the tests measure the whole service with, and records how the models do on them.

`python -m training.gate render --voices DIR` and, after new weights, `python -m training.gate record`.

Held out from training as the evaluation's are, and of sounds whose licences let them lie in the tree: MuseScore's
soundfont, CMU's speaker slt, invented voices. NAME/STEM.mp3; the mixture is what the four decode to, added up.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import av
import numpy as np
import torch
import yaml
from demucs.apply import apply_model
from demucs.pretrained import get_model

from training.evaluate import MODELS, Separator
from training.instruments import soundfonts
from training.learning.losses import sdr
from training.learning.recipe import RECIPES, build_model
from training.package import packaged_weights
from training.render import Desk
from training.score.compose import compose
from training.score.notes import RATE, STEMS
from training.vocals import voices

GATE = MODELS.parent / "tests" / "e2e" / "gate"
SONGS = {"gate-one": 31, "gate-two": 47}  # name and seed
COMPOSED_SECONDS, KEPT_SECONDS = 45, 12
BIT_RATE = 128_000
FONT = {"MuseScore_General.sf3": 1.0}
SINGERS = ("flite-slt-en", "throat-01", "throat-03")
PEAK = 0.8


def song(seed: int, bank: voices.Bank) -> np.ndarray:
    """[4, 2, samples]: the seconds in which the quietest stem is loudest."""
    writing, playing = (np.random.default_rng(root) for root in np.random.SeedSequence(seed).spawn(2))
    score, samples = compose(writing, COMPOSED_SECONDS), COMPOSED_SECONDS * RATE
    stems = Desk(score, "held-out", samples, playing, bank).stems()
    length, step = KEPT_SECONDS * RATE, RATE
    starts = range(0, samples - length, step)
    best = max(starts, key=lambda start: float((stems[..., start : start + length] ** 2).mean((1, 2)).min()))
    cut = stems[..., best : best + length]
    return cut * PEAK / np.abs(cut.sum(0)).max()


def write(stem: np.ndarray, path: Path) -> None:
    """float [2, samples] as an MP3."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo")
        stream.bit_rate = BIT_RATE
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stem, np.float32), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        resampler = av.AudioResampler("fltp", "stereo", RATE, stream.codec_context.frame_size or 1152)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def read(folder: Path) -> np.ndarray:
    """The stems as they decode, float32 [4, 2, samples]."""
    return np.stack([_decoded(folder / f"{stem}.mp3") for stem in STEMS])


def _decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def render(voices_folder: Path) -> None:
    soundfonts.CASTS["held-out"] = FONT
    bank = voices.Bank(voices_folder, SINGERS)
    for name, seed in SONGS.items():
        folder = GATE / name
        folder.mkdir(parents=True, exist_ok=True)
        for stem, sound in zip(STEMS, song(seed, bank), strict=True):
            write(sound, folder / f"{stem}.mp3")


def by_demucs(name: str) -> Separator:
    """Normalised by the whole song, 25 % overlap, no shifts, as `training.evaluate` runs a model; by Demucs alone."""
    model = get_model(name, repo=MODELS / name).eval()
    order = [model.sources.index(stem) for stem in STEMS]

    def separate(mix: torch.Tensor) -> torch.Tensor:
        centre = mix.mean(0)
        mean, spread = centre.mean(), centre.std() + 1e-8
        with torch.inference_mode():
            stems = apply_model(model, ((mix - mean) / spread)[None], shifts=0, overlap=0.25)[0]
        return (stems * spread + mean)[order]

    return separate


def by_msst(name: str) -> Separator:
    """pymss-core's network over the whole song, by the definition of Music-Source-Separation-Training."""
    from tests.support.models.msst import demix  # the definition in plain numpy, which the tests have

    config = yaml.safe_load((MODELS / name / f"{name}.yaml").read_text())
    model = build_model(RECIPES[name]).eval()
    (weights,) = (MODELS / name).glob("*.safetensors")
    model.load_state_dict(packaged_weights(weights))

    def separate(mix: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.nan_to_num(demix(model, mix.numpy(), config)))

    return separate


def record() -> None:
    """What the networks' own libraries reach with the shipped weights, into recorded.json."""
    htdemucs, scnet = by_demucs("htdemucs_mini"), by_msst("scnet_mini")
    models: dict[str, Separator] = {
        "htdemucs_mini": htdemucs,
        "scnet_mini": scnet,
        "msaas_mini": lambda mix: (htdemucs(mix) + scnet(mix)) / 2,
    }
    figures: dict[str, dict[str, dict[str, float]]] = {model: {} for model in models}
    for song_name in SONGS:
        stems = torch.from_numpy(read(GATE / song_name))
        for model, separate in models.items():
            values = sdr(separate(stems.sum(0)), stems)
            figures[model][song_name] = {
                stem: round(float(value), 3) for stem, value in zip(STEMS, values, strict=True)
            }
    (GATE / "recorded.json").write_text(json.dumps(figures, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("render", "record"))
    parser.add_argument("--voices", type=Path, help="the held-out voices that training.corpus built")
    options = parser.parse_args()
    if options.part == "render":
        render(options.voices)
    record()


if __name__ == "__main__":
    main()
