"""A stem that another model separates further, in the same job."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from msaas.errors import Cancelled, InvalidOption, ScratchFull
from msaas.options import Options
from msaas.separation.kept_stem import KeptStem
from msaas.separation.model import from_demucs
from msaas.separation.pipeline import Separator, separate_song
from tests.support.audio.stem_files import stems_of

WAV = Options("tiny", format="wav")


@pytest.fixture
def refiners(separator, kit, small_models):
    """Models that refine stems: one whose sources do not add up to its mixture, one whose sources do."""
    drums = from_demucs("drumkit", kit.tiny(["kick", "snare", "toms"], seed=11))
    lead = replace(small_models["mel_band_roformer"], name="lead")
    models = {model.name: Separator(model, kit.CPU, precision="fp32") for model in (drums, lead)}
    return models | {"tiny": separator}


REFINED = replace(WAV, refine=(("drums", "drumkit"), ("vocals", "lead")))


def test_the_parts_of_a_refined_stem_add_up_to_it_and_equal_its_separation(refiners, song, tmp_path):
    loaded, seen, shares = [], [], []

    def load(name):
        loaded.append(name)
        return refiners[name]

    result = separate_song(
        load,
        song,
        tmp_path / "out",
        REFINED,
        progress=lambda stage, share: shares.append(share) if stage == "separating" else None,
        on_waveforms=lambda waveforms: seen.append(set(waveforms.stems)),
    )
    stems = stems_of(result)
    parts = {"drums": ["kick", "snare", "toms", "residual"], "vocals": ["vocals", "other"]}
    assert list(stems) == [*refiners["tiny"].model.sources, *(f"{s}.{p}" for s in parts for p in parts[s])]
    assert loaded == ["tiny", "drumkit", "lead"]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert seen[0] == set(refiners["tiny"].model.sources) and seen[-1] == set(stems)
    for stem, names in parts.items():
        assert np.abs(sum(stems[f"{stem}.{name}"] for name in names) - stems[stem]).max() < 1e-5
    plain = stems_of(refiners["tiny"].separate_song(song, tmp_path / "plain", WAV))
    assert all(np.array_equal(stems[name], plain[name]) for name in plain)
    alone = refiners["drumkit"].separate_song(result.stems["drums"], tmp_path / "alone", WAV)
    for name, samples in stems_of(alone).items():
        assert np.abs(samples - stems[f"drums.{name}"]).max() < 1e-4
    assert [model["name"] for model in result.refining] == ["drumkit", "lead"]
    assert result.report["refined"]["drums"]["model"] == "drumkit"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.wav" for name in stems}


def test_one_gain_is_common_to_stems_and_their_parts(refiners, write_wav, kit, tmp_path):
    song = write_wav(kit.noise(kit.RATE) * 30)
    options = replace(REFINED, format="flac", bitrate=None)
    result = separate_song(refiners.get, song, tmp_path / "out", options)
    stems = stems_of(result)
    assert result.gain < 1
    assert np.abs(stems["vocals.vocals"] + stems["vocals.other"] - stems["vocals"]).max() < 1e-5


def test_a_model_of_another_rate_cannot_refine(refiners, song, tmp_path):
    other = refiners["drumkit"]
    slower = SimpleNamespace(model=replace(other.model, sample_rate=22_050))
    with pytest.raises(InvalidOption, match=r"drumkit cannot refine drums.*22050"):
        separate_song({"tiny": refiners["tiny"], "drumkit": slower}.get, song, tmp_path / "out", REFINED)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("source", ["mp3", "residual"])
def test_a_model_whose_parts_cannot_be_named_cannot_refine(refiners, song, tmp_path, source):
    model = replace(refiners["drumkit"].model, sources=("kick", "snare", source))
    odd = SimpleNamespace(model=model)
    with pytest.raises(InvalidOption, match=rf"drums cannot be refined.*{source!r}"):
        separate_song({"tiny": refiners["tiny"], "drumkit": odd}.get, song, tmp_path / "out", REFINED)
    assert not list((tmp_path / "out").iterdir())


def test_a_cancelled_refinement_leaves_no_file(refiners, song, tmp_path):
    begun = threading.Event()

    def on_waveforms(waveforms):
        if "drums.kick" in waveforms.stems:
            begun.set()

    with pytest.raises(Cancelled):
        separate_song(refiners.get, song, tmp_path / "out", REFINED, stop=begun.is_set, on_waveforms=on_waveforms)
    assert begun.is_set() and not list((tmp_path / "out").iterdir())


def test_a_full_disk_is_said_of_a_stem_that_is_kept(refiners, song, tmp_path, monkeypatch):
    def full(_stem, _block):
        raise ScratchFull("no space left")

    monkeypatch.setattr("msaas.separation.pipeline.KeptStem.write", full)
    with pytest.raises(ScratchFull):
        separate_song(refiners.get, song, tmp_path / "out", REFINED)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("full_at", ["write", "measure"])
def test_a_disk_that_fills_up_while_a_stem_is_kept_is_said_and_leaves_no_file(tmp_path, full_at):
    """The last bytes wait in a buffer, which closing the file writes again."""
    path = tmp_path / "drums.kept"
    path.symlink_to("/dev/full")
    block = np.ones((2, 20 if full_at == "measure" else 200_000), np.float32)
    with pytest.raises(ScratchFull), KeptStem(path, sample_rate=44_100, channels=2) as kept:
        kept.write(block)
        list(kept.blocks())
    assert not list(tmp_path.iterdir())


def test_an_error_in_mid_song_is_not_replaced_by_that_of_a_full_disk(tmp_path):
    path = tmp_path / "drums.kept"
    path.symlink_to("/dev/full")
    with pytest.raises(Cancelled), KeptStem(path, sample_rate=44_100, channels=2) as kept:
        kept.write(np.ones((2, 20), np.float32))
        raise Cancelled("stopped on request")


def test_a_folder_that_takes_no_more_files_is_a_full_disk(tmp_path, monkeypatch):
    def refuse(_path, _mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ScratchFull):
        KeptStem(tmp_path / "drums.kept", sample_rate=44_100, channels=2)
