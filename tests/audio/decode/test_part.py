"""Parts of songs: exactly the samples of the seconds that were asked for, as if the file had been cut there."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from msaas.audio.decode.decoder import Decoder
from msaas.audio.part import Part
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.decoder import IsolatedDecoder


@pytest.fixture(autouse=True, scope="module")
def _no_helper_left():
    yield
    launcher.stop()


def heard(decoder):
    return np.concatenate([np.zeros((2, 0), np.float32), *decoder.blocks()], axis=1)


@pytest.mark.parametrize("kind", [Decoder, IsolatedDecoder])
@pytest.mark.parametrize(
    ("codec", "container"), [("pcm_f32le", "wav"), ("flac", "flac"), ("libmp3lame", "mp3"), ("vorbis", "ogg")]
)
@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.25, 1.0), (0.3333, None), (1.9999, 2.5), (0.1, 99.0)])
def test_a_part_has_exactly_its_samples(tmp_path, music, write_song, kind, codec, container, start, end):
    path = write_song(tmp_path / "song", music(90_001), codec=codec, container=container)
    whole = heard(Decoder(path, sample_rate=44_100, channels=2))
    first, last = round(start * 44_100), whole.shape[1] if end is None else round(end * 44_100)
    decoder = kind(path, sample_rate=44_100, channels=2, part=Part(start, end))
    assert np.array_equal(heard(decoder), whole[:, first:last])
    assert decoder.report.part_samples == whole[:, first:last].shape[1]


def test_a_part_is_resampled_as_a_file_that_was_cut_there(tmp_path, music):
    samples = music(100_000, rate=48_000)
    for name, data in (("whole", samples), ("cut", samples[:, 24_000:72_001])):
        soundfile.write(tmp_path / f"{name}.wav", data.T, 48_000, subtype="FLOAT")
    part = Decoder(tmp_path / "whole.wav", sample_rate=44_100, channels=2, part=Part(0.5, 72_001 / 48_000))
    assert np.array_equal(heard(part), heard(Decoder(tmp_path / "cut.wav", sample_rate=44_100, channels=2)))


def test_a_part_after_the_songs_end_is_empty(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(9_000), codec="flac", container="flac")
    for kind in (Decoder, IsolatedDecoder):
        decoder = kind(path, sample_rate=44_100, channels=2, part=Part(60.0))
        assert heard(decoder).shape == (2, 0)
        assert (decoder.report.samples_in, decoder.report.part_samples) == (9_000, 0)


def test_nothing_is_read_after_the_parts_end(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(900_000), codec="flac", container="flac")
    decoder = Decoder(path, sample_rate=44_100, channels=2, part=Part(0.0, 0.5))
    heard(decoder)
    assert decoder.report.samples_in < 50_000


def test_a_long_way_to_the_part_shows_that_the_decoder_is_at_work(tmp_path, music, write_song):
    path = write_song(tmp_path / "song", music(1_000_000), codec="libmp3lame", container="mp3")
    part = Part(20.0, 20.5)
    isolated = heard(IsolatedDecoder(path, sample_rate=44_100, channels=2, part=part))
    assert isolated.shape == (2, 22_050)
    called = []
    heard(Decoder(path, sample_rate=44_100, channels=2, part=part, skipping=lambda: called.append(1)))
    assert len(called) > 500


@given(
    start=st.floats(0, 100),
    length=st.floats(0, 100),
    rate=st.sampled_from([8_000, 22_050, 44_100, 48_000, 96_000]),
    blocks=st.lists(st.integers(1, 5_000), min_size=1, max_size=20),
)
def test_however_a_song_is_split_into_blocks_the_part_is_the_same(start, length, rate, blocks):
    part, total = Part(start, start + length), sum(blocks)
    kept, before = 0, 0
    for samples in blocks:
        inside = part.within(Fraction(before, rate), rate, samples)
        kept += len(range(samples)[inside])
        before += samples
    assert kept == len(range(total)[part.within(Fraction(0), rate, total)])
