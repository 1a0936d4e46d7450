"""Formats, rates, depths and mono that a request may choose: what decoders make of the files."""

from __future__ import annotations

import struct

import mutagen
import numpy as np
import pytest
import soundfile

from msaas.audio.encode.converted import Sound
from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.tagging.atoms import append_box
from msaas.audio.encode.writer import common_gain
from msaas.errors import InvalidOption
from msaas.formats import FORMATS


def write(path, samples, format_, rate=44_100, *, made=None, gain=None, total=None, **options):
    """`made`: the rate of the samples, if it differs."""
    channels = options.pop("channels", samples.shape[0])
    total = total or -(-samples.shape[1] * rate // (made or rate))
    given = Sound(made or rate, *samples.shape)
    with open_writer(
        path, format_, sample_rate=rate, channels=channels, total_samples=total, made=given, **options
    ) as writer:
        for start in range(0, samples.shape[1], 5_000):
            writer.write(samples[:, start : start + 5_000])
        writer.close(common_gain([writer]) if gain is None else gain)
    return path


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


# --- bit depths


@pytest.mark.parametrize(
    ("format_", "depth", "subtype"),
    [
        ("wav", "16", "PCM_16"),
        ("wav", "24", "PCM_24"),
        ("wav", None, "FLOAT"),
        ("flac", "16", "PCM_16"),
        ("flac", None, "PCM_24"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_have_the_depth_asked_for(tmp_path, music, both_hear, format_, depth, subtype, channels):
    meant = music(20_001, channels)
    path = write(tmp_path / f"a.{format_}", meant, format_, bit_depth=depth)
    assert soundfile.info(path).subtype == subtype
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[subtype]
    for hear in both_hear:
        assert np.abs(hear(path) - meant).max() <= step / 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_an_odd_number_of_bytes_is_followed_by_a_pad_byte(tmp_path, music, both_hear, n):
    path = write(tmp_path / "a.wav", music(n, 1), "wav", bit_depth="24")
    data = path.read_bytes()
    assert len(data) % 2 == 0 and struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    for hear in both_hear:
        assert hear(path).shape == (1, n)


@pytest.mark.parametrize(("format_", "depth"), [("wav", "16"), ("wav", "24"), ("flac", "16")])
def test_what_would_clip_is_turned_down(tmp_path, both_hear, format_, depth):
    meant = np.tile(2 * np.sin(np.arange(9_000) / 20), (2, 1)).astype(np.float32)
    path = write(tmp_path / f"a.{format_}", meant, format_, bit_depth=depth)
    assert np.abs(both_hear[1](path) - meant / 2).max() < 2e-4


# --- lossy formats


@pytest.mark.parametrize(
    ("format_", "rate", "kbps"), [("m4a", 44_100, 256), ("m4a", 48_000, 128), ("opus", 48_000, 192)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_formats_have_no_delay_and_are_close(tmp_path, both_hear, lag, format_, rate, kbps, channels):
    t = np.arange(rate) / rate
    meant = np.stack([np.sin(2 * np.pi * hertz * t) * 0.4 for hertz in (440, 660)][:channels]).astype(np.float32)
    heard = both_hear[0](write(tmp_path / f"a.{format_}", meant, format_, rate, bitrate_kbps=kbps))
    assert meant.shape[1] <= heard.shape[1] < meant.shape[1] + (1_024 if format_ == "m4a" else 1)
    heard = heard[:, : meant.shape[1]]
    assert lag(heard, meant) == 0
    inside = slice(4_000, -4_000)
    assert rms((heard - meant)[:, inside]) < 0.1 * rms(meant)


@pytest.mark.parametrize("n", [1, 1_023, 1_024, 1_025, 50_001])
def test_an_m4a_states_its_length_to_the_sample(tmp_path, music, n):
    data = write(tmp_path / "a.m4a", music(n), "m4a").read_bytes()
    at = data.index(b"elst") + 4
    _, count, duration, start = struct.unpack_from(">IIIi", data, at)
    assert (count, duration, start) == (1, n, 1_024)  # 1024: the encoder's delay


def test_an_m4a_is_read_by_another_library(tmp_path, music):
    info = mutagen.File(write(tmp_path / "a.m4a", music(88_200), "m4a")).info
    assert (info.codec, info.sample_rate, info.channels) == ("mp4a.40.2", 44_100, 2)


@pytest.mark.parametrize("n", [1, 959, 960, 961, 50_001])
def test_opus_of_every_length_keeps_it(tmp_path, music, hear, n):
    assert hear(write(tmp_path / "a.opus", music(n, rate=48_000), "opus", 48_000)).shape == (2, n)


def test_a_box_is_added_only_where_its_parents_are_the_last(tmp_path, music):
    path = write(tmp_path / "a.m4a", music(500), "m4a")
    with pytest.raises(ValueError, match="trak"):
        append_box(path, (b"moov", b"trak", b"mdia"), b"")


# --- rates and mono


@pytest.mark.parametrize("format_", [one.name for one in FORMATS.values() if one.only_rate != 44_100])
@pytest.mark.parametrize("n", [1, 1_000, 44_101])
def test_other_rates_have_exact_lengths(tmp_path, music, both_hear, format_, n):
    path = write(tmp_path / f"a.{format_}", music(n), format_, 48_000, made=44_100)
    expected = -(-n * 48_000 // 44_100)
    for hear in both_hear[:1] if format_ == "m4a" else both_hear:
        heard = hear(path).shape[1]
        assert heard == expected or (format_ == "m4a" and expected <= heard < expected + 1_024)


def test_other_rates_sound_the_same(tmp_path, both_hear):
    tones = [np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32) for rate in (44_100, 48_000)]
    path = write(tmp_path / "a.wav", np.stack([tones[0]] * 2), "wav", 48_000, made=44_100)
    assert np.abs(both_hear[1](path)[0] - tones[1])[500:-500].max() < 1e-4


def test_a_rate_and_back_may_be_cut_to_the_songs_length(tmp_path, music, both_hear):
    path = write(tmp_path / "a.wav", music(44_100), "wav", 48_000, made=44_100, total=47_999)
    assert both_hear[0](path).shape[1] == 47_999


def test_mono_is_the_mean_of_both(tmp_path, music, both_hear):
    meant = music(20_001)
    path = write(tmp_path / "a.wav", meant, "wav", channels=1)
    assert np.abs(both_hear[0](path) - meant.mean(axis=0, keepdims=True)).max() < 1e-7


def test_the_gain_is_that_of_what_is_saved(tmp_path, both_hear):
    meant = np.stack([np.full(9_000, 1.6), np.full(9_000, -1.6)]).astype(np.float32)  # nothing in mono
    path = write(tmp_path / "a.flac", meant, "flac", channels=1)
    assert np.abs(both_hear[0](path)).max() < 1e-6


def test_an_error_leaves_no_file(tmp_path, music):
    writer = open_writer(
        tmp_path / "a", "flac", sample_rate=48_000, channels=1, total_samples=1_000, made=Sound(44_100, 2, 900)
    )
    writer.write(music(500))
    writer.abort()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format_", "rate"), [("opus", 44_100), ("mp3", 96_000), ("m4a", 192_000), ("flac", 700_000)])
def test_a_rate_that_a_format_does_not_have_is_refused(tmp_path, format_, rate):
    with pytest.raises(InvalidOption, match=str(rate)):
        open_writer(tmp_path / "a", format_, sample_rate=rate, channels=2, total_samples=5)
