"""What is amiss with a song is found and told; a song that is whole has no warnings."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from msaas.audio.decode.decoder import Decoder, DecodeReport
from msaas.audio.decode.stats import measure
from msaas.audio.encode.wav import wav_header
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.warnings import warnings_of
from msaas.error_codes import WARNING_CODES
from msaas.errors import NotAudio
from tests.support.audio.audio_files import as_frame, write_song
from tests.support.audio.containers import CONTAINERS, encoded

LONG = 200_000  # samples: 4.5 seconds


def read(path, content=None, kind=Decoder):
    if content is not None:
        path.write_bytes(content)
    decoder = kind(path, sample_rate=44_100, channels=2)
    samples = np.concatenate(list(decoder.blocks()), axis=1)
    return samples, decoder.report


def warnings_in(report, gain=1.0):
    found = {warning.code: warning.detail for warning in warnings_of(report, gain)}
    assert found.keys() <= WARNING_CODES.keys()
    return found


@pytest.mark.parametrize(("codec", "container", "rate"), CONTAINERS)
def test_a_whole_song_has_no_warnings(tmp_path, codec, container, rate):
    assert warnings_in(read(tmp_path / "a", encoded(codec, container, rate, LONG))[1]) == {}


# Cut off. Of these the file itself does not say how long it is, or is not there without its end.
NOT_DECLARED = {"mp2", "adts", "latm", "ac3", "eac3", "mpegts", "mpeg", "nut", "rm"}
NO_SONG = {"ipod", "mov"}
CUT = [one for one in CONTAINERS if one[1] not in NOT_DECLARED | NO_SONG]


@pytest.mark.parametrize(("codec", "container", "rate"), CUT)
def test_a_song_cut_off_in_its_middle_says_so(tmp_path, codec, container, rate):
    whole = encoded(codec, container, rate, LONG)
    samples, report = read(tmp_path / "a", whole[: len(whole) // 2])
    assert samples.shape[1] < 0.7 * LONG * 44_100 / rate
    assert "cut_short" in warnings_in(report)


def test_the_missing_seconds_are_those_that_the_header_promises(tmp_path):
    whole = encoded("pcm_s16be", "aiff", samples=LONG)
    samples, report = read(tmp_path / "a", whole[: len(whole) // 2])
    missing = (LONG - samples.shape[1]) / 44_100
    assert report.missing_seconds == pytest.approx(missing, abs=0.001)
    assert (
        warnings_in(report)["cut_short"] == f"The file has {missing:.2f} seconds less audio than its header declares."
    )


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_does_not_know_its_length_is_not_cut_short(tmp_path, music, size):
    samples = music(30_000)
    data = bytearray(wav_header(44_100, *samples.shape) + samples.T.astype("<f4").tobytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = struct.pack("<I", size)
    found, report = read(tmp_path / "a", data)
    assert found.shape[1] == 30_000
    assert warnings_in(report) == {}


# Damaged. Zeros in PCM are silence like any other, TTA decodes them; the three others lose their place.
SILENT = {"wav", "w64", "aiff", "caf", "au", "voc", "tta", "avi", "latm", "mpeg", "rm", "nut"}
DAMAGED = [one for one in CONTAINERS if one[1] not in SILENT]


@pytest.mark.parametrize(("codec", "container", "rate"), DAMAGED)
def test_a_song_with_a_fifth_of_zeros_says_how_many_seconds_that_cost(tmp_path, codec, container, rate):
    data = bytearray(encoded(codec, container, rate, LONG))
    first, last = int(len(data) * 0.4), int(len(data) * 0.6)
    data[first:last] = bytes(last - first)
    samples, report = read(tmp_path / "a", data)
    seconds = report.skipped_seconds + report.hole_seconds + report.missing_seconds + report.ignored_seconds
    lost = LONG / rate - samples.shape[1] / 44_100
    assert lost > 0.5
    assert seconds == pytest.approx(lost, abs=0.1)
    assert warnings_in(report).keys() & {"packets_skipped", "gaps", "cut_short", "ignored_bytes"}


def test_packets_that_do_not_decode_are_told_with_their_seconds(tmp_path):
    data = bytearray(encoded("aac", "ipod", samples=400_000))
    data[len(data) // 3 : len(data) // 3 + 9_000] = b"\xff" * 9_000
    _, report = read(tmp_path / "a", data)
    assert report.skipped_seconds == pytest.approx(report.skipped_packets * 1_024 / 44_100)
    detail = f"{report.skipped_packets} packets did not decode: {report.skipped_seconds:.2f} seconds of the song"
    assert warnings_in(report)["packets_skipped"].startswith(detail)


# Timestamps


def film(path, parts, container="matroska", video=True, rate=48_000):
    """`parts`: the seconds at which each begins, and its samples. The picture, where there is one, begins at 0."""
    with av.open(str(path), "w", format=container) as out:
        picture = out.add_stream("mpeg4", rate=10, width=16, height=16, pix_fmt="yuv420p") if video else None
        stream = out.add_stream("pcm_f32le", rate=rate, layout="stereo")
        for number in range(60 if picture else 0):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(picture.encode(frame))
        for at, samples in parts:
            sound = as_frame(samples, rate)
            sound.pts = round(at * rate)
            out.mux(stream.encode(sound))
        for each in filter(None, (picture, stream)):
            out.mux(each.encode(None))
    return path


def test_sound_that_begins_after_the_picture_is_told(tmp_path, music):
    path = film(tmp_path / "a", [(1.5, music(48_000 * 2, rate=48_000))])
    samples, report = read(path)
    assert samples.shape[1] == 2 * 44_100
    assert report.leading_seconds == pytest.approx(1.5, abs=0.01)
    assert warnings_in(report)["late_start"].startswith("The audio starts 1.50 seconds after")


def test_sound_that_begins_with_the_picture_is_not_late(tmp_path, music):
    assert warnings_in(read(film(tmp_path / "a", [(0.0, music(48_000 * 2, rate=48_000))]))[1]) == {}


@pytest.mark.parametrize("container", ["matroska", "nut"])
def test_holes_in_a_recording_are_closed_and_told(tmp_path, music, container):
    parts = [(at, music(24_000, rate=48_000)) for at in (0.0, 1.0, 2.5)]
    samples, report = read(film(tmp_path / "a", parts, container=container, video=False))
    assert samples.shape[1] == 3 * 22_050
    assert report.holes == 2
    assert report.hole_seconds == pytest.approx(1.5, abs=0.02)
    assert warnings_in(report)["gaps"].startswith("The file has no audio in 2 places, 1.5")


# Samples


def wav(path, samples, rate=44_100):
    path.write_bytes(wav_header(rate, *samples.shape) + samples.T.astype("<f4").tobytes())
    return path


@pytest.mark.parametrize("kind", [Decoder, IsolatedDecoder])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_song_of_which_nothing_is_a_number_is_not_audio(tmp_path, kind, value):
    path = wav(tmp_path / "a", np.full((2, 30_000), value, np.float32))
    with pytest.raises(NotAudio, match="none of the song's 60000 samples is a number"):
        read(path, kind=kind)


def test_a_song_with_one_number_is_a_song(tmp_path):
    samples = np.full((2, 30_000), np.nan, np.float32)
    samples[1, 17] = 0.5
    _, report = read(wav(tmp_path / "a", samples))
    assert warnings_in(report)["not_numbers"].startswith("59,999 samples were not numbers")


def test_a_downmix_is_told_with_its_gain(tmp_path, music):
    _, report = read(tmp_path / "a", encoded("flac", "flac", samples=5_000, channels=6))
    assert warnings_in(report) == {"downmixed": "6 channels were mixed to stereo, 7.7 dB lower, so that nothing clips."}
    assert warnings_in(read(wav(tmp_path / "b", music(500, 16)))[1]) == {
        "downmixed": "16 channels were mixed to stereo."
    }


def test_stems_that_were_turned_down_are_told_in_decibels():
    detail = "All stems were turned down together by 1.0 dB, so that none of them clips."
    assert warnings_in(DecodeReport(), 10 ** (-1 / 20)) == {"turned_down": detail}
    assert warnings_in(DecodeReport(), 1.0) == {}


# One gain


def chain(tmp_path, *channels):
    """FLAC files one behind the other, each of full-scale silence but for one value all through."""
    whole = b""
    for count in channels:
        samples = np.full((count, 20_000), 0.5, np.float32)
        whole += write_song(tmp_path / "part", samples, codec="flac", container="flac").read_bytes()
    (tmp_path / "a").write_bytes(whole)
    return tmp_path / "a"


@pytest.mark.parametrize("kind", [Decoder, IsolatedDecoder])
@pytest.mark.parametrize("channels", [(6, 2), (2, 6), (1, 8, 2, 6)])
def test_one_gain_holds_for_the_whole_song_once_it_was_read(tmp_path, kind, channels):
    decoder = kind(chain(tmp_path, *channels), sample_rate=44_100, channels=2)
    list(decoder.blocks())
    assert decoder.report.gain_lowered == (channels[0] < max(channels))
    heard = np.concatenate(list(decoder.blocks()), axis=1)
    assert not decoder.report.gain_lowered
    lowest = decoder.report.gain
    assert lowest < 0.5
    for number, count in enumerate(channels):
        part = heard[:, number * 20_000 + 100 : (number + 1) * 20_000 - 100]
        loud = 0.5 if count == max(channels) else 0.5 * lowest
        if count <= 2 or count == max(channels):
            assert part == pytest.approx(np.full_like(part, loud), abs=2e-4), count


def test_what_is_measured_is_what_is_separated(tmp_path):
    decoder = Decoder(chain(tmp_path, 2, 6), sample_rate=44_100, channels=2)
    measure(decoder)
    again = measure(decoder)
    whole = np.concatenate(list(decoder.blocks()), axis=1).mean(axis=0, dtype=np.float64)
    assert (again.mean, again.std) == pytest.approx((whole.mean(), whole.std(ddof=1)))
