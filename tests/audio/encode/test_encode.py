"""Stems as files: exact lengths, no delay, true levels, in two decoders."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msaas.audio.encode import info_tag
from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.wav import WavWriter
from msaas.audio.encode.writer import common_gain
from msaas.errors import InvalidOption, ScratchFull
from msaas.formats import FORMATS
from tests.support.audio.sounds import decode_with_av


def write(path, samples, fmt, rate=44_100, block=5_000, **options):
    channels, n = samples.shape
    with open_writer(path, fmt, sample_rate=rate, channels=channels, total_samples=n, **options) as writer:
        for start in range(0, n, block):
            writer.write(samples[:, start : start + block])
    return path


# For FFmpeg an m4a ends with its last frame, and soundfile reads none.
EXACT = [fmt for fmt in FORMATS if not fmt.endswith("m4a")]


def rate_of(fmt):
    return 48_000 if fmt == "opus" else 44_100


@pytest.mark.parametrize("past", [0, 1, 2, 46, 47, 48, 1105, 1106, 1151])
def test_mp3_of_any_length_past_a_frame_keeps_it_exactly(tmp_path, music, hear, past):
    n = 12 * 1152 + past
    assert hear(write(tmp_path / "a.mp3", music(n), "mp3")).shape == (2, n)


@pytest.mark.parametrize("past", [0, 1, 46, 47, 1151])
def test_mp3_at_48_khz_mono_keeps_its_exact_length(tmp_path, music, hear, past):
    n = 7 * 1152 + past
    assert hear(write(tmp_path / "a.mp3", music(n, 1, 48_000), "mp3", 48_000)).shape == (1, n)


@pytest.mark.parametrize("n", [1, 2, 46, 47, 48, 600, 1151, 1152, 1153, 1106, 2258])
def test_shortest_mp3s_decode_to_what_went_in(tmp_path, music, decoded, n):
    for seed in range(4):  # in a few frames, noise can pass for other formats
        path = write(tmp_path / "a.mp3", music(n, seed=seed), "mp3")
        assert decoded(path).shape == (2, n)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(3_000, 30_000), mono=st.booleans(), kbps=st.sampled_from([64, 128, 192, 320]))
def test_mp3_of_every_length_keeps_it(tmp_path, music, both_hear, n, mono, kbps):
    channels = 1 if mono else 2
    path = write(tmp_path / "a.mp3", music(n, channels), "mp3", bitrate_kbps=kbps)
    for hear in both_hear:
        assert hear(path).shape == (channels, n)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 32_000])
def test_mp3_at_lower_rates_keeps_its_length(tmp_path, music, hear, rate):
    n = 5 * 576 + 13
    path = write(tmp_path / "a.mp3", music(n, 1, rate), "mp3", rate, bitrate_kbps=64)
    assert hear(path).shape == (1, n)


def test_mp3_is_constant_at_the_bit_rate_asked_for(tmp_path, music):
    n = 44_100 * 2
    for kbps in (128, 320):
        size = write(tmp_path / "a.mp3", music(n), "mp3", bitrate_kbps=kbps).stat().st_size
        assert size == pytest.approx(2 * kbps * 125, rel=0.04)


def test_mp3_tag_crc_is_that_of_libavformat_where_the_padding_was_right(tmp_path, music, monkeypatch):
    """Our CRC over an unchanged tag is the one that is there: the same field, the same polynomial."""
    monkeypatch.setattr("msaas.audio.encode.mp3.write_true_padding", lambda *_a, **_k: None)
    path = write(tmp_path / "a.mp3", music(12 * 1152 + 500), "mp3")
    before = path.read_bytes()
    info_tag.write_true_padding(path, total_samples=12 * 1152 + 500, samples_per_frame=1152)
    assert path.read_bytes() == before


def test_mp3_without_a_tag_is_refused(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(bytes(5_000))
    with pytest.raises(ValueError, match="no Info tag"):
        info_tag.write_true_padding(path, total_samples=1, samples_per_frame=1152)


@pytest.mark.parametrize("fmt", EXACT)
def test_stem_has_zero_lag_and_its_exact_length(tmp_path, music, hear, lag, fmt):
    meant = music(50_001, rate=rate_of(fmt))
    heard = hear(write(tmp_path / f"a.{fmt}", meant, fmt, rate_of(fmt)))
    assert heard.shape == meant.shape
    assert lag(heard, meant) == 0


@pytest.mark.parametrize(("fmt", "error"), [("wav", 0.0), ("flac", 2**-24)])
def test_lossless_stem_nulls_against_what_went_in(tmp_path, music, hear, fmt, error):
    meant = music(20_001)
    assert np.abs(hear(write(tmp_path / f"a.{fmt}", meant, fmt)) - meant).max() <= error


def test_mp3_keeps_levels_beyond_full_scale(tmp_path, both_hear):
    meant = np.tile(2.5 * np.sin(np.arange(44_100) / 20), (2, 1)).astype(np.float32)
    heard = both_hear[0](write(tmp_path / "a.mp3", meant, "mp3"))
    assert np.abs(heard - meant)[:, 2_000:-2_000].max() < 0.01


@pytest.mark.parametrize("fmt", ["mp3", "m4a", "opus"])
@pytest.mark.parametrize("level", [1e5, 1e9, 3e38])
def test_levels_that_encoders_do_not_survive_are_cut(tmp_path, fmt, level):
    noise = np.random.default_rng(0).choice(np.array([-level, level], np.float32), (2, 2 * rate_of(fmt)))
    heard = decode_with_av(write(tmp_path / f"loud.{fmt}", noise, fmt, rate=rate_of(fmt)).read_bytes())
    assert np.isfinite(heard).all()
    assert 100 < np.abs(heard).max() < 2000


def test_mp3_is_close_to_what_went_in(tmp_path, hear):
    t = np.arange(44_100) / 44_100
    meant = np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 660 * t)]).astype(np.float32) * 0.5
    heard = hear(write(tmp_path / "a.mp3", meant, "mp3"))
    inside = slice(2_000, -2_000)
    assert np.abs(heard - meant)[:, inside].max() < 1e-3


@pytest.mark.parametrize("fmt", EXACT)
@pytest.mark.parametrize("n", [1, 17])
def test_stem_of_a_few_samples_keeps_its_length(tmp_path, music, hear, fmt, n):
    meant = music(n)
    assert hear(write(tmp_path / f"a.{fmt}", meant, fmt, rate_of(fmt))).shape == meant.shape


@pytest.mark.parametrize("fmt", FORMATS)
def test_same_stem_is_the_same_bytes(tmp_path, music, fmt):
    meant = music(9_000)
    first = write(tmp_path / "a", meant, fmt, rate_of(fmt)).read_bytes()
    assert write(tmp_path / "b", meant, fmt, rate_of(fmt), block=777).read_bytes() == first


def test_flac_is_24_bits(tmp_path, music):
    import soundfile

    info = soundfile.info(write(tmp_path / "a.flac", music(5_000), "flac"))
    assert (info.subtype, info.frames) == ("PCM_24", 5_000)


def test_flac_stems_share_one_gain_and_still_add_up(tmp_path, both_hear):
    rng = np.random.default_rng(1)
    stems = [(rng.uniform(-1, 1, (2, 3_000)) * level).astype(np.float32) for level in (1.7, 0.4)]
    writers = [
        open_writer(tmp_path / f"{i}.flac", "flac", sample_rate=44_100, channels=2, total_samples=3_000)
        for i in range(2)
    ]
    for writer, stem in zip(writers, stems, strict=True):
        writer.write(stem)
    gain = common_gain(writers)
    assert gain == pytest.approx(1 / np.abs(stems[0]).max())
    for writer in writers:
        writer.close(gain)
    heard = sum(both_hear[0](writer.path) for writer in writers)
    assert np.abs(heard - (stems[0] + stems[1]) * gain).max() < 2**-22
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.flac", "1.flac"]


def test_gain_is_one_where_nothing_clips_and_where_formats_keep_levels(tmp_path):
    quiet = open_writer(tmp_path / "a", "flac", sample_rate=44_100, channels=1, total_samples=2)
    loud = open_writer(tmp_path / "b", "wav", sample_rate=44_100, channels=1, total_samples=2)
    quiet.write(np.array([[0.5, -1.0]], np.float32))
    loud.write(np.array([[3.0, -4.0]], np.float32))
    assert common_gain([quiet, loud]) == 1.0
    assert loud.peak == 4.0
    with pytest.raises(ValueError, match="keeps levels"):
        loud.close(0.5)
    quiet.abort()
    loud.abort()
    assert list(tmp_path.iterdir()) == []


def test_wav_past_the_limit_is_rf64_and_reads_the_same(tmp_path, music, hear):
    meant = music(4_001)
    path = tmp_path / "a.wav"
    with WavWriter(path, sample_rate=44_100, channels=2, total_samples=4_001, riff_limit_bytes=32_000) as writer:
        writer.write(meant)
    assert path.read_bytes()[:4] == b"RF64"
    assert struct.unpack_from("<Q", path.read_bytes(), 20)[0] == path.stat().st_size - 8
    assert np.array_equal(hear(path), meant)


def test_wav_up_to_the_limit_is_riff_that_counts_itself_rightly(tmp_path, music):
    data = write(tmp_path / "a.wav", music(4_001), "wav").read_bytes()
    assert data[:4] == b"RIFF"
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8


def test_wav_takes_the_header_of_four_hours_without_writing_them():
    from msaas.audio.encode.wav import wav_header

    assert wav_header(44_100, 2, 4 * 3600 * 44_100)[:4] == b"RF64"
    assert wav_header(44_100, 2, 3 * 3600 * 44_100)[:4] == b"RIFF"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "aac"}, "mp3, flac, wav"),
        ({"format": "mp3", "sample_rate": 96_000}, "cannot hold 96000 Hz"),
        ({"format": "mp3", "bitrate_kbps": 300}, "bitrate 300"),
        ({"format": "mp3", "sample_rate": 22_050, "bitrate_kbps": 320}, "at 22050 Hz supports"),
        ({"format": "flac", "sample_rate": 768_000}, "cannot hold 768000 Hz"),
    ],
)
def test_what_a_format_does_not_have_is_refused_by_name(tmp_path, options, message):
    asked = {"format": "mp3", "sample_rate": 44_100, "channels": 2, "total_samples": 5} | options
    with pytest.raises(InvalidOption, match=message):
        open_writer(tmp_path / "a", **asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fmt", FORMATS)
def test_writer_that_got_too_few_or_too_many_samples_leaves_no_file(tmp_path, fmt):
    for given_samples in (4, 6):
        with (
            pytest.raises(ValueError, match="declared"),
            open_writer(tmp_path / "a", fmt, sample_rate=rate_of(fmt), channels=1, total_samples=5) as writer,
        ):
            writer.write(np.zeros((1, given_samples), np.float32))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the kernel has no /dev/full")
@pytest.mark.parametrize("fmt", FORMATS)
def test_full_disk_is_told_as_such(tmp_path, music, fmt):
    (tmp_path / "a").symlink_to("/dev/full")
    n = 200_000
    with (
        pytest.raises(ScratchFull, match="no space left"),
        open_writer(tmp_path / "a", fmt, sample_rate=rate_of(fmt), channels=2, total_samples=n) as writer,
    ):
        writer.write(music(n))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the kernel has no /dev/full")
def test_full_disk_under_the_spool_is_told_as_such(tmp_path, music):
    (tmp_path / "a.f32").symlink_to("/dev/full")
    writer = open_writer(tmp_path / "a", "flac", sample_rate=44_100, channels=2, total_samples=9_000)
    with pytest.raises(ScratchFull):
        writer.write(music(9_000))
    writer.abort()
    assert list(tmp_path.iterdir()) == []
