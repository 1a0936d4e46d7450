"""Songs cut off anywhere, and plain noise: refused or heard, within limits, and nothing else."""

from __future__ import annotations

import pytest

from msaas.audio.sandbox.probe import probe_isolated
from msaas.errors import AudioError
from tests.hostile.conftest import LIMITS, heard
from tests.hostile.table import WHOLE, cuts, noise

OWN_CODES = {"", "not_audio", "audio_too_long", "decoded_too_large"}


def ending(path, data: bytes) -> tuple[str, float]:
    path.write_bytes(data)
    try:
        probe_isolated(path, LIMITS)
    except AudioError as error:
        return error.code, 0.0
    return heard(path)


@pytest.mark.parametrize("kind", WHOLE)
def test_song_cut_off_in_any_region_is_refused_or_heard_as_far_as_it_goes(tmp_path, kind):
    whole = WHOLE[kind]()
    _, length = ending(tmp_path / "whole", whole)
    assert length > 0.9
    for cut in cuts(whole):
        code, seconds = ending(tmp_path / "cut", cut)
        assert code in OWN_CODES
        assert seconds <= length + 0.3


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_no_song_and_breaks_nothing(tmp_path, seed):
    code, seconds = ending(tmp_path / "noise", noise(seed))
    assert code in OWN_CODES
    assert seconds < 30


@pytest.mark.parametrize("kind", WHOLE)
def test_noise_behind_a_true_beginning_breaks_nothing(tmp_path, kind):
    code, seconds = ending(tmp_path / "noise", WHOLE[kind]()[:2_000] + noise(1))
    assert code in OWN_CODES
    assert seconds <= 30
