"""Songs one behind the other in a file: each is read to its end, or what is not read is counted."""

from __future__ import annotations

import io
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import soundfile

from msaas.audio.decode.decoder import Decoder
from msaas.audio.decode.probe import probe
from msaas.audio.limits import Limits
from msaas.errors import NotAudio
from tests.support.audio.audio_files import lag, music
from tests.support.audio.containers import CONTAINERS, encoded

# codec, rate, channels
OPUS, OPUS_MONO = ("libopus", 48_000, 2), ("libopus", 48_000, 1)
VORBIS, VORBIS_MONO, VORBIS_48 = ("vorbis", 44_100, 2), ("vorbis", 44_100, 1), ("vorbis", 48_000, 2)
FLAC, FLAC_MONO, FLAC_96 = ("flac", 44_100, 2), ("flac", 44_100, 1), ("flac", 96_000, 2)
CHAINS = {
    "the same again": [OPUS, OPUS],
    "the same again, Vorbis": [VORBIS, VORBIS],
    "other channels": [OPUS, OPUS_MONO],
    "more channels": [OPUS_MONO, OPUS],
    "other channels, Vorbis": [VORBIS, VORBIS_MONO],
    "another rate": [VORBIS, VORBIS_48],
    "another rate, FLAC": [FLAC, FLAC_96, FLAC_MONO],
    "other codecs": [OPUS, VORBIS_MONO, FLAC_96, OPUS_MONO],
}


def link(codec, rate, channels, samples, seed=0):
    if codec != "vorbis":
        return encoded(codec, "ogg", rate, samples, channels, seed)
    file = io.BytesIO()  # by libsndfile: FFmpeg's own encoder says no exact length
    soundfile.write(file, music(samples, channels, rate, seed).T, rate, format="OGG", subtype="VORBIS")
    return file.getvalue()


def heard(path, content):
    path.write_bytes(content)
    decoder = Decoder(path, sample_rate=44_100, channels=2)
    samples = np.concatenate(list(decoder.blocks()), axis=1)
    assert probe(path, Limits()).sample_rate
    return samples, decoder.report


@pytest.mark.parametrize("chain", CHAINS)
def test_every_link_of_an_ogg_is_heard_as_if_it_were_alone(tmp_path, chain):
    parts = [
        link(codec, rate, channels, int(rate * 0.3), seed) for seed, (codec, rate, channels) in enumerate(CHAINS[chain])
    ]
    found, report = heard(tmp_path / "a", b"".join(parts))
    assert (report.skipped_packets, report.missing_seconds, report.holes, report.truncated) == (0, 0, 0, False)
    rest, seconds = found, Fraction(0)
    for number, (part, (_, rate, _)) in enumerate(zip(parts, CHAINS[chain], strict=True)):
        alone, of_part = heard(tmp_path / "b", part)
        seconds += Fraction(of_part.samples_in, rate)
        assert lag(rest[:, : alone.shape[1]], alone) == 0, number
        rest = rest[:, alone.shape[1] :]
    assert found.shape[1] == ceil(seconds * 44_100)


def test_links_of_exact_length_are_joined_to_the_sample(tmp_path):
    lengths = [(OPUS, 14_411), (FLAC_96, 28_811), (FLAC_MONO, 13_230), (OPUS_MONO, 14_400)]
    found, _ = heard(tmp_path / "a", b"".join(link(*kind, n) for kind, n in lengths))
    assert found.shape[1] == ceil(44_100 * sum(n / kind[1] for kind, n in lengths))


@pytest.mark.parametrize("other", [(44_100, 2), (44_100, 1), (96_000, 2), (96_000, 1)])
def test_flac_files_one_behind_the_other_are_heard_whole(tmp_path, other):
    """FFmpeg loses the second one's first frame now and then."""
    rate, channels = other
    parts = [encoded("flac", "flac"), encoded("flac", "flac", rate, 30_000, channels, 1), encoded("flac", "flac")]
    found, report = heard(tmp_path / "a", b"".join(parts))
    assert found.shape[1] == ceil(24_000 + 30_000 * 44_100 / rate)
    assert (report.skipped_packets, report.holes) == (0, 0)


def test_a_chain_of_many_links_is_heard_whole(tmp_path):
    found, _ = heard(tmp_path / "a", link(*FLAC, 1_000) * 60 + link(*FLAC_MONO, 500))
    assert found.shape[1] == 60_500


def test_a_link_that_holds_no_sound_is_passed_by_and_counted(tmp_path):
    broken = bytearray(link(*FLAC, 5_000, 1))
    at = broken.index(b"fLaC")
    broken[at - 9 : at + 4] = b"\x80no codec\0\0\0\0"
    for place, rest in (("first", [broken, link(*OPUS, 9_600)]), ("last", [link(*OPUS, 9_600), broken])):
        found, report = heard(tmp_path / place, b"".join(rest))
        assert found.shape[1] == 8_820, place
        assert report.unread_bytes + report.ignored_bytes == len(broken), place


def test_a_chain_of_nothing_that_can_be_read_is_not_audio(tmp_path):
    broken = link(*FLAC, 5_000).replace(b"fLaC", b"none")
    with pytest.raises(NotAudio):
        heard(tmp_path / "a", broken + broken)


def test_garbage_between_the_links_ends_nothing(tmp_path):
    found, _ = heard(tmp_path / "a", link(*FLAC, 5_000) + b"noise" * 1_000 + link(*FLAC_MONO, 4_000))
    assert found.shape[1] == 9_000


def test_the_length_of_a_chain_is_not_guessed_from_one_link(tmp_path):
    (tmp_path / "a").write_bytes(link(*FLAC, 5_000) + link(*FLAC_MONO, 4_000))
    assert probe(tmp_path / "a", Limits()).duration_seconds is None


@pytest.mark.parametrize(("codec", "container", "rate"), CONTAINERS)
def test_of_two_songs_in_a_file_the_second_is_heard_too_or_counted_as_not_read(tmp_path, codec, container, rate):
    one, other = encoded(codec, container, rate), encoded(codec, container, rate, 30_000, seed=5)
    alone, _ = heard(tmp_path / "a", one)
    both, report = heard(tmp_path / "b", one + other)
    if both.shape[1] < alone.shape[1] + 0.9 * 30_000 * 44_100 / rate:
        assert report.unread_bytes >= 0.9 * len(other)


def test_wavpack_goes_on_behind_what_cannot_be_read(tmp_path):
    data = bytearray(encoded("wavpack", "wv", samples=200_000))
    at = data.index(b"wvpk", len(data) // 3)
    data[at : at + 2_000] = bytes(2_000)
    found, report = heard(tmp_path / "a", data)
    assert 100_000 < found.shape[1] < 200_000
    lost = report.skipped_seconds + report.missing_seconds
    assert lost == pytest.approx((200_000 - found.shape[1]) / 44_100, abs=0.01)
    assert report.unread_bytes == 0
