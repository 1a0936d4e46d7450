"""Songs in every container, at every rate, whole or damaged: what comes out is aligned and of the exact length."""

from __future__ import annotations

import struct
from fractions import Fraction
from math import ceil

import av
import numpy as np
import pytest
import soundfile

from msaas.audio.decode.decoder import Decoder
from msaas.audio.encode.wav import wav_header
from msaas.audio.limits import Limits
from msaas.errors import AudioTooLong, DecodedTooLarge, NotAudio

LOSSLESS = [
    ("pcm_s16le", "wav"),
    ("pcm_f32le", "wav"),
    ("pcm_f64le", "wav"),
    ("pcm_u8", "wav"),
    ("pcm_s24le", "wav"),
    ("pcm_s64le", "nut"),
    ("pcm_s16be", "aiff"),
    ("flac", "flac"),
    ("flac", "ogg"),
    ("flac", "matroska"),
    ("alac", "ipod"),
    ("wavpack", "wv"),
    ("tta", "tta"),
]
GAPLESS = [("libmp3lame", "mp3")]
MP4 = [("aac", "ipod"), ("aac", "mp4"), ("aac", "mov")]
PADDED = [("aac", "adts"), ("aac", "matroska"), ("ac3", "ac3"), ("mp2", "mp2"), ("eac3", "eac3")]


def wav(path, samples, rate=44_100):
    path.write_bytes(wav_header(rate, *samples.shape) + samples.T.astype("<f4").tobytes())
    return path


@pytest.mark.parametrize(("codec", "container"), LOSSLESS)
def test_lossless_song_called_mp3_comes_out_as_it_is(tmp_path, music, write_song, decoded, codec, container):
    meant = music(20_011)
    heard = decoded(write_song(tmp_path / "song.mp3", meant, codec=codec, container=container))
    assert heard.shape == meant.shape
    assert np.abs(heard - meant).max() < 0.008  # eight bits


@pytest.mark.parametrize("n", [20_011, 20_480, 20_600])
@pytest.mark.parametrize(("codec", "container"), GAPLESS)
def test_gapless_song_loses_its_encoders_padding_at_both_ends(
    tmp_path, music, write_song, decoded, lag, codec, container, n
):
    meant = music(n)
    heard = decoded(write_song(tmp_path / "song.mp3", meant, codec=codec, container=container))
    assert heard.shape == meant.shape
    assert lag(heard, meant) == 0


@pytest.mark.parametrize("container", ["ogg", "webm"])
def test_opus_song_is_gapless_at_48_khz_and_aligned_at_44(tmp_path, music, write_song, decoded, lag, container):
    meant = music(30_011, rate=48_000)
    path = write_song(tmp_path / "song.mp3", meant, codec="libopus", container=container, rate=48_000)
    assert decoded(path, 48_000).shape == meant.shape
    assert lag(decoded(path, 48_000), meant) == 0
    assert decoded(path).shape == (2, ceil(30_011 * 441 / 480))


@pytest.mark.parametrize(("codec", "container"), PADDED)
def test_song_without_gapless_marks_decodes_whole(tmp_path, music, write_song, decoded, codec, container):
    path = write_song(tmp_path / "song.mp3", music(30_000), codec=codec, container=container)
    assert 30_000 - 3_000 <= decoded(path).shape[1] <= 30_000 + 4_096


@pytest.mark.parametrize("n", [20_011, 20_480])
@pytest.mark.parametrize(("codec", "container"), MP4)
def test_mp4_song_begins_on_time_and_is_as_long_as_pyav_decodes_it(
    tmp_path, music, write_song, decoded, lag, codec, container, n
):
    meant = music(n)
    path = write_song(tmp_path / "song.mp3", meant, codec=codec, container=container)
    heard = decoded(path)
    assert heard.shape[1] == samples_by_pyav(path)
    assert n <= heard.shape[1] < n + 1024  # its last frame is whole: FFmpeg cuts what is ahead, not what is behind
    assert lag(heard[:, :n], meant) == 0


def samples_by_pyav(path):
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS", "MPEG_LAYER_III"])
def test_song_by_another_encoder_has_the_length_that_encoder_meant(tmp_path, music, decoded, kind):
    container = "MP3" if kind.startswith("MPEG") else "OGG"
    path = tmp_path / "song.mp3"
    soundfile.write(path, music(30_000, rate=48_000).T, 48_000, format=container, subtype=kind)
    assert decoded(path, 48_000).shape == (2, 30_000) or kind == "MPEG_LAYER_III"
    assert 30_000 <= decoded(path, 48_000).shape[1] < 30_000 + 2 * 1152 + 1105


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 48_000, 96_000, 192_000, 352_800, 768_000])
@pytest.mark.parametrize("n", [1, 7, 4_801])
def test_any_rate_gives_the_exact_length(tmp_path, music, decoded, rate, n):
    heard = decoded(wav(tmp_path / "song.mp3", music(n, rate=rate), rate))
    assert heard.shape == (2, ceil(n * 44_100 / rate))
    assert np.isfinite(heard).all()


def test_blocks_stay_small_and_come_again_from_the_start(tmp_path, music):
    decoder = Decoder(wav(tmp_path / "a", music(300_000, rate=8_000), 8_000), sample_rate=44_100, channels=2)
    first, second = list(decoder.blocks()), list(decoder.blocks())
    assert max(block.shape[1] for block in first) <= 1 << 17
    assert all(block.dtype == np.float32 for block in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert decoder.report.samples_in == 300_000


def test_mono_goes_to_both_channels_at_full_level(tmp_path, music, decoded):
    meant = music(5_000, 1)
    assert np.array_equal(decoded(wav(tmp_path / "a", meant)), np.concatenate([meant, meant]))


def test_stereo_to_a_mono_model_is_the_mean(tmp_path, music, decoded):
    meant = music(5_000)
    heard = decoded(wav(tmp_path / "a", meant), channels=1)
    assert np.allclose(heard, meant.mean(axis=0, keepdims=True), atol=1e-7)


@pytest.mark.parametrize(("codec", "container"), [("flac", "flac"), ("pcm_s16le", "wav")])
@pytest.mark.parametrize("channels", [6, 8])
def test_surround_song_is_folded_without_clipping(tmp_path, write_song, decoded, codec, container, channels):
    loud = np.full((channels, 30_000), 0.99, np.float32)
    heard = decoded(write_song(tmp_path / "a.mp3", loud, codec=codec, container=container))
    assert heard.shape == (2, 30_000)
    assert heard.max() == pytest.approx(0.99, abs=1e-4)


def test_wav_of_sixteen_nameless_channels_is_their_mean(tmp_path, decoded):
    channels = np.linspace(-0.5, 0.8, 16, dtype=np.float32)[:, np.newaxis] * np.ones((1, 500), np.float32)
    assert np.allclose(decoded(wav(tmp_path / "a", channels)), channels.mean(), atol=1e-6)


def test_cover_art_is_not_taken_for_the_song(tmp_path, music, write_song, decoded):
    song = write_song(tmp_path / "a.mp3", music(20_000), codec="libmp3lame", container="mp3").read_bytes()
    picture = b"\x00image/jpeg\x00\x03\x00" + b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
    tag = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    size = len(tag)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    start = song.index(b"\xff\xfb")
    (tmp_path / "b.mp3").write_bytes(b"ID3\x03\x00\x00" + syncsafe + tag + song[start:])
    assert decoded(tmp_path / "b.mp3").shape == (2, 20_000)


def test_film_gives_its_sound(tmp_path, music, as_frame, decoded):
    path, meant = tmp_path / "film.mp3", music(44_100)
    with av.open(str(path), "w", format="mp4") as out:
        video = out.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        audio = out.add_stream("aac", rate=44_100, layout="stereo")
        for number in range(10):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 10)
            out.mux(video.encode(picture))
        out.mux(audio.encode(as_frame(meant)))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    assert decoded(path).shape[1] == samples_by_pyav(path)


def test_change_of_rate_and_channels_in_mid_song_is_followed(tmp_path, music, write_song, decoded):
    whole = b"".join(
        write_song(
            tmp_path / "part", music(48_000, channels, rate), codec="mp2", container="mp2", rate=rate
        ).read_bytes()
        for channels, rate in ((2, 44_100), (1, 48_000), (2, 32_000))
    )
    (tmp_path / "a.mp3").write_bytes(whole)
    seconds = 48_000 / 44_100 + 1 + 1.5
    assert decoded(tmp_path / "a.mp3").shape[1] == pytest.approx(seconds * 44_100, abs=4 * 1152)


# Damage


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libmp3lame", "mp3"), ("flac", "flac"), ("pcm_s16le", "wav"), ("aac", "adts"), ("aac", "matroska")],
)
def test_song_cut_short_decodes_up_to_the_cut(tmp_path, music, write_song, decoded, codec, container):
    path = write_song(tmp_path / "a.mp3", music(200_000), codec=codec, container=container)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 80_000 < decoded(path).shape[1] < 120_000


def test_m4a_cut_short_behind_its_index_decodes_up_to_the_cut(tmp_path, music, as_frame, decoded):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", format="ipod", container_options={"movflags": "faststart"}) as out:
        stream = out.add_stream("aac", rate=44_100, layout="stereo")
        out.mux(stream.encode(as_frame(music(200_000))))
        out.mux(stream.encode(None))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 80_000 < decoded(path).shape[1] < 120_000


def test_m4a_without_its_index_is_not_audio(tmp_path, music, write_song, decoded):
    path = write_song(tmp_path / "a.mp3", music(200_000), codec="aac", container="ipod")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(NotAudio):
        decoded(path)


@pytest.mark.parametrize(("codec", "container"), [("libmp3lame", "mp3"), ("flac", "flac"), ("aac", "adts")])
@pytest.mark.parametrize("place", ["ahead", "behind", "middle"])
def test_garbage_does_not_end_the_song(tmp_path, music, write_song, decoded, codec, container, place):
    path = write_song(tmp_path / "a.mp3", music(200_000), codec=codec, container=container)
    data = path.read_bytes()
    junk = np.random.default_rng(3).integers(0, 255, 3_000, dtype=np.uint8).tobytes()
    cut = {"ahead": 0, "behind": len(data), "middle": len(data) // 2}[place]
    path.write_bytes(data[:cut] + junk + data[cut:])
    assert 185_000 < decoded(path).shape[1] < 215_000


def test_packets_that_do_not_decode_are_skipped_and_counted(tmp_path, music, write_song):
    path = write_song(tmp_path / "a.mp3", music(400_000), codec="aac", container="ipod")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 9_000] = b"\xff" * 9_000
    path.write_bytes(data)
    decoder = Decoder(path, sample_rate=44_100, channels=2)
    total = sum(block.shape[1] for block in decoder.blocks())
    assert decoder.report.skipped_packets > 3
    assert total == decoder.report.samples_in
    assert 300_000 < total < 400_000


def test_song_fails_where_nothing_decodes(tmp_path, music, write_song, decoded):
    path = write_song(tmp_path / "a.mp3", music(50_000), codec="alac", container="ipod")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = b"\xff" * (end - start)
    path.write_bytes(data)
    with pytest.raises(NotAudio, match=r"nothing in the file decodes to audio: \d+ packets tried"):
        decoded(path)


@pytest.mark.parametrize("data_bytes", [0, 0xFFFFFFFF, 0x7FFFFFF0])
def test_wav_header_with_a_wrong_length_is_not_believed(tmp_path, music, decoded, data_bytes):
    data = bytearray(wav(tmp_path / "a", music(20_000)).read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", data_bytes)
    data[4:8] = b"\xff\xff\xff\xff"
    (tmp_path / "a").write_bytes(data)
    assert decoded(tmp_path / "a").shape == (2, 20_000)


def test_song_of_one_sample_is_a_song(tmp_path, music, write_song, decoded):
    for codec, container in [("pcm_s16le", "wav"), ("flac", "flac"), ("alac", "ipod"), ("libopus", "ogg")]:
        rate = 48_000 if codec == "libopus" else 44_100
        path = write_song(tmp_path / "a.mp3", music(1), codec=codec, container=container, rate=rate)
        assert decoded(path, rate).shape == (2, 1)


def test_song_of_no_samples_is_not_audio(tmp_path, music, write_song, decoded):
    with pytest.raises(NotAudio, match="no samples"):
        decoded(wav(tmp_path / "a", music(0)))
    with pytest.raises(NotAudio):
        decoded(write_song(tmp_path / "b", music(0), codec="flac", container="flac"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"hello\n" * 5_000,
        bytes(100_000),
        b"\x89PNG\r\n\x1a\n" + bytes(5_000),
        b"%PDF-1.7\n" + bytes(5_000),
        b"PK\x03\x04" + bytes(5_000),
        b"\xff\xfb",
        b"ID3\x03\x00\x00\x00\x00\x00\x00",
        np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes(),
    ],
    ids=["empty", "byte", "text", "zeros", "png", "pdf", "zip", "sync", "id3", "noise"],
)
def test_what_is_no_song_is_not_audio(tmp_path, decoded, content):
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(NotAudio):
        decoded(tmp_path / "a.mp3")


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "[playlist]\nFile1={}\n",
    ],
    ids=["hls", "concat", "pls"],
)
def test_playlist_opens_no_other_file(tmp_path, music, decoded, content):
    other = wav(tmp_path / "other.wav", music(5_000))
    (tmp_path / "a.mp3").write_text(content.format(other))
    with pytest.raises(NotAudio):
        decoded(tmp_path / "a.mp3")


def test_picture_alone_has_no_sound(tmp_path, decoded):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        out.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(video.encode(None))
    with pytest.raises(NotAudio, match="no audio stream"):
        decoded(path)


def test_samples_that_are_no_numbers_become_silence_and_are_counted(tmp_path, music):
    samples = music(9_000, rate=48_000)
    samples[0, 100] = np.nan
    samples[1, 200:202] = np.inf
    samples[1, 202] = -3e38
    decoder = Decoder(wav(tmp_path / "a", samples, 48_000), sample_rate=44_100, channels=2)
    heard = np.concatenate(list(decoder.blocks()), axis=1)
    assert np.isfinite(heard).all()
    assert decoder.report.non_finite_samples == 4


# Limits


def test_song_past_the_limit_of_seconds_stops_there(tmp_path, music):
    path = wav(tmp_path / "a", music(44_100 * 3))
    decoder = Decoder(path, sample_rate=44_100, channels=2, limits=Limits(max_duration_seconds=2))
    with pytest.raises(AudioTooLong, match="the limit is 2"):
        list(decoder.blocks())
    assert decoder.report.samples_in < 44_100 * 2 + 70_000


def test_song_past_the_limit_of_decoded_bytes_stops_there(tmp_path, music):
    path = wav(tmp_path / "a", music(44_100 * 3))
    decoder = Decoder(path, sample_rate=44_100, channels=2, limits=Limits(max_decoded_bytes=500_000))
    with pytest.raises(DecodedTooLarge, match="the limit is 500000"):
        list(decoder.blocks())


def test_limits_count_what_decodes_not_what_the_header_says(tmp_path, music, write_song):
    path = write_song(tmp_path / "a.mp3", music(44_100 * 3), codec="flac", container="flac")
    data = bytearray(path.read_bytes())
    at = data.index(b"fLaC") + 8 + 13  # STREAMINFO's total of samples: 36 bits, the last four bytes of them here
    data[at + 1 : at + 5] = struct.pack(">I", 44_100)
    path.write_bytes(data)
    decoder = Decoder(path, sample_rate=44_100, channels=2, limits=Limits(max_duration_seconds=2))
    with pytest.raises(AudioTooLong):
        list(decoder.blocks())


def test_rate_that_no_recording_has_is_not_audio(tmp_path, music, decoded):
    with pytest.raises(NotAudio):
        decoded(wav(tmp_path / "a", music(9_000), rate=1))


def test_decoder_of_a_channel_count_no_model_has_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one or two"):
        Decoder(tmp_path / "a", sample_rate=44_100, channels=6)
