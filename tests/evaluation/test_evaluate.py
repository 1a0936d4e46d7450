"""`msaas evaluate` on generated songs in MUSDB18-HQ's layout."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from msaas.cli import main
from msaas.evaluation.references import NotAReference, decoded, known_stem, reference_songs
from tests.support.audio.gate_songs import GATE, write_songs

RATE = 44_100
SHAPE = {"sample_rate": RATE, "channels": 2}


@pytest.fixture
def songs(tmp_path):
    return write_songs(tmp_path / "musdb" / "test", seconds=1.5)[0].parents[1]


def test_songs_are_found_at_any_depth_with_their_stems(songs):
    found = reference_songs(songs)
    assert [song.name for song in found] == ["test/gate-one", "test/gate-two"]
    assert sorted(found[0].stems) == ["bass", "drums", "other", "vocals"]


def test_a_known_stem_is_read_sample_by_sample(songs):
    [song, _] = reference_songs(songs)
    read = known_stem(song, "drums", ("drums", "bass", "other", "vocals"), **SHAPE)
    assert np.array_equal(read, soundfile.read(song.stems["drums"], dtype="float32")[0].T)
    assert known_stem(song, "guitar", ("guitar", "drums", "bass"), **SHAPE) is None


def test_everything_else_of_a_model_of_two_stems_is_the_mixture_without_the_other(songs):
    [song, _] = reference_songs(songs)
    rest = known_stem(song, "other", ("vocals", "other"), **SHAPE)
    want = decoded(song.mixture, **SHAPE) - decoded(song.stems["vocals"], **SHAPE)
    assert np.array_equal(rest, want)


def test_a_folder_without_songs_is_refused(tmp_path, capsys):
    with pytest.raises(NotAReference, match=r"mixture\.wav"):
        reference_songs(tmp_path)
    assert main(["evaluate", "htdemucs_mini", str(tmp_path)]) == 2
    assert f"the folder {tmp_path} has no mixture.wav at any depth; expected: " in capsys.readouterr().err


def test_a_folder_that_is_missing_is_named_with_what_belongs_in_it(tmp_path, capsys):
    (tmp_path / "file").touch()
    for name, reason in (("nosuchfolder", "does not exist"), ("file", "is not a folder")):
        assert main(["evaluate", "htdemucs_mini", str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert f"the folder {tmp_path / name} {reason}; expected: a folder a song, with mixture.wav and one" in err


def test_songs_without_any_stem_are_refused_before_one_is_separated(tmp_path):
    (tmp_path / "song").mkdir()
    (tmp_path / "song" / "mixture.wav").touch()
    with pytest.raises(NotAReference, match=r"mixture\.wav has no stems beside it"):
        reference_songs(tmp_path)


def test_the_small_model_reaches_its_recorded_ratios(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MSAAS_PRECISION", "fp32")
    [song, other] = write_songs(tmp_path)
    shutil.rmtree(other)
    assert main(["evaluate", "htdemucs_mini", str(tmp_path), "--metric", "global", "--json"]) == 0
    line, medians = map(json.loads, capsys.readouterr().out.splitlines())
    recorded = json.loads((GATE / "recorded.json").read_text())["htdemucs_mini"][song.name]
    assert line["song"] == song.name
    assert line["sdr"]["global"] == pytest.approx(recorded, abs=0.1)
    assert medians["median_sdr"]["global"]["mean"] == pytest.approx(sum(recorded.values()) / 4, abs=0.1)


@pytest.mark.slow
def test_both_metrics_and_a_quality_and_a_broken_song(songs, capsys):
    (songs / "test" / "gate-two" / "drums.wav").write_bytes(b"no audio")
    assert main(["evaluate", "htdemucs_mini", str(songs), "--quality", "fast"]) == 1
    said = capsys.readouterr()
    assert "gate-two" in said.err
    assert "global" in said.out and "museval" in said.out and "1 songs" in said.out
