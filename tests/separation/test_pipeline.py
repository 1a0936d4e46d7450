"""A song file in, stem files out."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from types import SimpleNamespace

import av
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import id3

from msaas.audio.decode.decoder import Decoder
from msaas.audio.decode.downmix import matrix
from msaas.audio.encode.writer import Writer
from msaas.errors import Cancelled, InvalidOption, NotAudio
from msaas.options import Options
from msaas.separation import memory
from msaas.separation.engines.selection import EngineChoice
from msaas.separation.model import from_demucs
from msaas.separation.pipeline import Separator
from tests.support.audio.audio_files import write_song
from tests.support.audio.sounds import decode_with_av
from tests.support.audio.stem_files import samples_of, stems_of

WAV = Options("tiny", format="wav")


@pytest.fixture
def no_thread_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("encode-")]


def test_stems_have_the_songs_tags_with_their_own_names(separator, song, tmp_path) -> None:
    file = mutagen.File(song)
    file.add_tags()
    for frame in (id3.TIT2(encoding=3, text="Harbour Lights"), id3.TPE1(encoding=3, text="MSaaS")):
        file.tags.add(frame)
    plain = separator.separate_song(song, tmp_path / "plain", WAV)
    file.save()
    tagged = separator.separate_song(song, tmp_path / "tagged", WAV)
    for stem, path in tagged.stems.items():
        tags = mutagen.File(path).tags
        assert tags["TIT2"].text == [f"Harbour Lights ({stem.capitalize()})"]
        assert tags["TPE1"].text == ["MSaaS"]
        assert tags["COMM::eng"].text == ["separated by MSaaS with tiny"]
        assert np.array_equal(samples_of(path), samples_of(plain.stems[stem]))


@pytest.mark.parametrize(("rate", "n"), [(48_000, 100_001), (44_100, 90_003), (22_050, 50_001), (96_000, 201_003)])
def test_stems_at_the_songs_own_rate_have_exactly_its_samples(separator, kit, tmp_path, rate, n) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, kit.noise(n).T, rate, subtype="FLOAT")
    options = Options("tiny", format="flac", bitrate=None, sample_rate="source", bit_depth="16", mono=True)
    result = separator.separate_song(song, tmp_path / "out", options)
    assert (result.total_samples, result.sample_rate) == (n, rate)
    for path in result.stems.values():
        info = soundfile.info(path)
        assert (info.frames, info.samplerate, info.channels, info.subtype) == (n, rate, 1, "PCM_16")


@pytest.mark.parametrize(("format_", "rate"), [("wav", 48_000), ("opus", None)])
def test_stems_at_another_rate_are_as_long_as_the_song(separator, song, tmp_path, format_, rate) -> None:
    options = Options("tiny", format=format_, bitrate=128 if format_ == "opus" else None, sample_rate=rate)
    result = separator.separate_song(song, tmp_path / "out", options)
    expected = -(-(int(2.6 * 44_100) + 11) * 48_000 // 44_100)
    assert (result.total_samples, result.sample_rate) == (expected, 48_000)
    assert {samples_of(path).shape for path in result.stems.values()} == {(2, expected)}
    assert result.duration_seconds == pytest.approx(2.6, abs=0.001)


@pytest.mark.parametrize("format_", ["mp3", "m4a", "stems.m4a"])
@pytest.mark.parametrize("scale", [2.0**15, 2.0**23, 2.0**31])
def test_integers_that_were_written_as_floats_become_a_normal_song(separator, kit, tmp_path, format_, scale) -> None:
    noise = kit.noise(60_000)
    song = tmp_path / "song.wav"
    soundfile.write(song, (0.99 * scale * noise / np.abs(noise).max()).T, 44_100, subtype="FLOAT")
    result = separator.separate_song(song, tmp_path / "out", Options("tiny", format=format_, bitrate=128))
    assert result.gain == pytest.approx(1 / (0.99 * scale), rel=1e-4)
    assert [warning.code for warning in result.warnings] == ["turned_down"]
    for path in result.stems.values():
        assert 0.001 < np.abs(decode_with_av(path.read_bytes())).max() < 30


def test_fixed_point_wavs_share_one_gain(separator, write_wav, kit, tmp_path) -> None:
    song = write_wav(kit.noise(60_000) * 30)
    result = separator.separate_song(
        song, tmp_path / "out", Options("tiny", format="wav", bitrate=None, bit_depth="24")
    )
    assert result.gain < 1
    plain = separator.separate_song(song, tmp_path / "plain", WAV)
    for stem, samples in stems_of(result).items():
        assert np.abs(samples - samples_of(plain.stems[stem]) * result.gain).max() < 2**-22


def test_a_part_is_separated_as_a_file_that_was_cut_there(separator, write_wav, kit, tmp_path) -> None:
    samples = kit.noise(150_000)
    whole, cut = write_wav(samples), write_wav(samples[:, 33_075:121_275], "cut.wav")
    options = Options("tiny", format="wav", bitrate=None, start=0.75, end=2.75)
    part = separator.separate_song(whole, tmp_path / "part", options)
    alone = separator.separate_song(cut, tmp_path / "alone", WAV)
    assert (part.total_samples, part.duration_seconds) == (88_200, 2.0)
    for stem, heard in stems_of(part).items():
        assert np.array_equal(heard, samples_of(alone.stems[stem]))


def test_a_part_at_the_songs_own_rate_has_exactly_its_samples(separator, kit, tmp_path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, kit.noise(120_000).T, 48_000, subtype="FLOAT")
    options = Options("tiny", format="wav", bitrate=None, sample_rate="source", start=0.5, end=1.50001)
    assert separator.separate_song(song, tmp_path / "out", options).total_samples == round(1.50001 * 48_000) - 24_000


def test_a_part_after_the_end_is_the_requests_fault(separator, song, tmp_path) -> None:
    with pytest.raises(InvalidOption, match=r"start 9: the song ends after 2\.600 seconds"):
        separator.separate_song(song, tmp_path / "out", Options("tiny", start=9.0))


def test_a_file_for_djs_has_the_mix_and_four_stems(separator, song, tmp_path) -> None:
    seen = {}
    options = Options("tiny", format="stems.m4a", bitrate=256)
    result = separator.separate_song(
        song, tmp_path / "out", options, on_waveforms=lambda waveforms: seen.update(waveforms.to_json())
    )
    assert result.stems == {"mix": tmp_path / "out" / "mix.stems.m4a"}
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "mix.stems.m4a"]
    assert list(seen["stems"]) == ["mix"]
    plain = separator.separate_song(song, tmp_path / "plain", WAV)
    meant = [samples_of(song), *(samples_of(plain.stems[stem]) for stem in ("drums", "bass", "other", "vocals"))]
    for index, samples in enumerate(meant):
        with av.open(str(result.stems["mix"])) as file:
            frames = [frame.to_ndarray() for frame in file.decode(file.streams.audio[index])]
        heard = np.concatenate(frames, axis=1)[:, : samples.shape[1]]
        assert heard.shape == samples.shape
        assert np.corrcoef(heard.ravel(), samples.ravel())[0, 1] > 0.8  # AAC of noise


def test_a_song_comes_out_as_one_file_a_source(separator, song, tmp_path) -> None:
    result = separator.separate_song(song, tmp_path / "out", Options("tiny"))
    assert list(result.stems) == ["drums", "bass", "other", "vocals"]
    assert [path.name for path in result.stems.values()] == [
        "drums.mp3",
        "bass.mp3",
        "other.mp3",
        "vocals.mp3",
    ]
    assert {samples_of(path).shape for path in result.stems.values()} == {(2, result.total_samples)}
    assert result.total_samples == int(2.6 * 44_100) + 11
    assert result.duration_seconds == pytest.approx(2.6, abs=0.001)
    assert result.report["model"] == "tiny"
    assert result.report["skipped_packets"] == 0
    assert result.timings["total"] >= result.timings["separate"] >= result.timings["model"] > 0


def test_wav_stems_add_up_to_what_demucs_own_output_adds_up_to(separator, four_sources, song, tmp_path, kit) -> None:
    result = separator.separate_song(song, tmp_path, WAV)
    decoded = np.concatenate(list(Decoder(song, sample_rate=kit.RATE, channels=2).blocks()), axis=-1)
    want = kit.demucs_says(four_sources, decoded)
    stems = stems_of(result)
    assert np.abs(want).max() > 0.01
    for stem, expected in zip(stems.values(), want, strict=True):
        assert np.abs(stem - expected).max() <= 1e-5
    assert np.abs(sum(stems.values()) - want.sum(0)).max() <= 1e-5


def test_a_song_at_another_rate_in_mono_is_separated_as_it_decodes(separator, four_sources, tmp_path, kit) -> None:
    song = tmp_path / "mono.flac"
    soundfile.write(song, kit.noise(48_000, channels=1).T, 48_000)
    result = separator.separate_song(song, tmp_path, WAV)
    decoded = np.concatenate(list(Decoder(song, sample_rate=kit.RATE, channels=2).blocks()), axis=-1)
    assert result.total_samples == decoded.shape[-1] == 44_100
    want = kit.demucs_says(four_sources, decoded)
    assert np.abs(sum(stems_of(result).values()) - want.sum(0)).max() <= 1e-5


def test_two_stems_are_the_source_and_the_mix_without_it(separator, song, tmp_path) -> None:
    result = separator.separate_song(song, tmp_path / "two", Options("tiny", two_stems="vocals", format="wav"))
    stems = stems_of(result)
    assert list(stems) == ["vocals", "no_vocals"]
    assert np.abs(stems["vocals"] + stems["no_vocals"] - samples_of(song)).max() <= 1e-6
    alone = separator.separate_song(song, tmp_path / "four", WAV)
    assert np.array_equal(stems["vocals"], samples_of(alone.stems["vocals"]))


def test_only_the_stems_asked_for_are_written(separator, song, tmp_path) -> None:
    request = Options("tiny", stems=("vocals", "bass"), format="flac")
    result = separator.separate_song(song, tmp_path / "out", request)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bass.flac", "vocals.flac"]
    assert list(result.stems) == ["bass", "vocals"]


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (Options("tiny", stems=("vocals", "kazoo")), ["'kazoo'", "drums, bass, other, vocals"]),
        (Options("tiny", two_stems="kazoo"), ["'kazoo'", "drums, bass, other, vocals"]),
        (Options("tiny", two_stems="bass", stems=("vocals",)), ["'vocals'", "bass, no_bass"]),
        (Options("tiny", stems=()), ["drums, bass, other, vocals"]),
        (Options("tiny", format="ogg"), ["'ogg'", "mp3"]),
        (Options("tiny", bitrate=7), ["7"]),
    ],
)
def test_what_there_is_not_is_refused_by_name(request_, names, separator, song, tmp_path) -> None:
    with pytest.raises(InvalidOption) as refused:
        separator.separate_song(song, tmp_path / "out", request_)
    assert all(name in str(refused.value) for name in names)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("name", ["two sources", "six sources", "bag"])
def test_the_stems_are_the_models_own(name, networks, kit, song, tmp_path) -> None:
    model = from_demucs(name, networks[name])
    result = Separator(model, kit.CPU, precision="fp32").separate_song(song, tmp_path, WAV)
    assert tuple(result.stems) == model.sources
    decoded = np.concatenate(list(Decoder(song, sample_rate=kit.RATE, channels=2).blocks()), axis=-1)
    want = kit.demucs_says(networks[name], decoded)
    for stem, expected in zip(stems_of(result).values(), want, strict=True):
        assert np.abs(stem - expected).max() <= 1e-5


@pytest.mark.parametrize("samples", [1, 100])
def test_a_song_of_a_few_samples_is_separated(samples, separator, write_wav, kit, tmp_path) -> None:
    result = separator.separate_song(write_wav(kit.noise(samples)), tmp_path / "out", WAV)
    assert result.total_samples == samples
    for stem in stems_of(result).values():
        assert stem.shape == (2, samples)
        assert np.isfinite(stem).all()


def test_a_song_is_measured_if_that_is_asked_for_and_its_stems_stay_the_same(separator, song, tmp_path) -> None:
    plain = separator.separate_song(song, tmp_path / "plain", WAV)
    measured = separator.separate_song(song, tmp_path / "measured", WAV, analyse=True)
    assert plain.analysis is None
    assert measured.analysis is not None
    assert measured.analysis.keys() == {"loudness", "tempo", "key"}
    assert measured.analysis["loudness"]["integrated_lufs"] < 0
    assert [path.read_bytes() for path in measured.stems.values()] == [
        path.read_bytes() for path in plain.stems.values()
    ]


def test_silence_comes_out_silent(separator, write_wav, tmp_path) -> None:
    song = write_wav(np.zeros((2, 44_100), np.float32))
    for stem in stems_of(separator.separate_song(song, tmp_path / "out", WAV)).values():
        assert np.abs(stem).max() < 1e-6


def test_flac_stems_that_would_clip_share_one_gain(separator, write_wav, kit, tmp_path) -> None:
    song = write_wav(kit.noise(2 * kit.RATE) * 20)
    exact = stems_of(separator.separate_song(song, tmp_path / "wav", WAV))
    peak = max(np.abs(stem).max() for stem in exact.values())
    assert peak > 1
    result = separator.separate_song(song, tmp_path / "flac", Options("tiny", format="flac"))
    assert result.gain == pytest.approx(1 / peak, rel=1e-5)
    for name, stem in stems_of(result).items():
        assert np.abs(stem - exact[name] * result.gain).max() < 2**-22


def test_what_was_amiss_and_what_was_done_about_it_is_in_the_result(separator, write_wav, kit, tmp_path) -> None:
    song = write_wav(kit.noise(4 * kit.RATE) * 20)
    data = song.read_bytes()
    song.write_bytes(data[: len(data) // 2])
    result = separator.separate_song(song, tmp_path / "out", Options("tiny", format="flac"))
    assert [warning.code for warning in result.warnings] == ["cut_short", "turned_down"]
    whole = separator.separate_song(write_wav(kit.noise(kit.RATE) * 0.1), tmp_path / "whole", WAV)
    assert whole.warnings == []


SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")


@pytest.mark.parametrize("channels", [(6, 2), (2, 6)])
def test_a_song_whose_channels_change_has_one_level(separator, tmp_path, channels) -> None:
    """A stem and its rest add up to the song: the same sound on two channels, whatever others there are, is as loud."""
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(44_100) / 44_100).astype(np.float32)
    networks = []
    for count in channels:
        samples = np.zeros((count, tone.size), np.float32)
        samples[:2] = tone
        networks.append(write_song(tmp_path / "part", samples, codec="flac", container="flac").read_bytes())
    (tmp_path / "song").write_bytes(b"".join(networks))
    request = Options("tiny", format="wav", two_stems=separator.model.sources[0])
    mix = np.sum(list(stems_of(separator.separate_song(tmp_path / "song", tmp_path / "out", request)).values()), axis=0)
    assert mix == pytest.approx(np.tile(tone * matrix(SURROUND, 2)[0, 0], (2, 2)), abs=1e-4)


def test_float_formats_keep_their_level_past_full_scale(separator, write_wav, kit, tmp_path) -> None:
    song = write_wav(kit.noise(kit.RATE) * 20)
    result = separator.separate_song(song, tmp_path / "out", WAV)
    assert result.gain == 1.0
    assert max(np.abs(stem).max() for stem in stems_of(result).values()) > 1


def test_stages_come_in_order_and_each_rises_to_one(separator, song, tmp_path) -> None:
    heard: list[tuple[str, float]] = []
    separator.separate_song(song, tmp_path, WAV, progress=lambda *step: heard.append(step))
    assert list(dict.fromkeys(stage for stage, _ in heard)) == ["decoding", "separating", "encoding"]
    for stage in ("decoding", "separating", "encoding"):
        fractions = [fraction for name, fraction in heard if name == stage]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("stage", ["decoding", "separating"])
def test_stop_cancels_and_leaves_nothing(stage, separator, song, tmp_path, no_thread_left) -> None:
    reached: list[str] = []
    with pytest.raises(Cancelled):
        separator.separate_song(
            song,
            tmp_path / "out",
            Options("tiny", format="flac"),
            progress=lambda name, _: reached.append(name),
            stop=lambda: stage in reached,
        )
    assert stage in reached
    assert not list((tmp_path / "out").glob("*"))


def test_a_writer_that_fails_fails_the_song_and_leaves_nothing(
    separator, song, tmp_path, monkeypatch, no_thread_left
) -> None:
    whole = Writer.write

    def write(self, block) -> None:
        if self.path.stem == "bass" and self.written_samples:
            raise OSError("the disk went away")
        whole(self, block)

    monkeypatch.setattr(Writer, "write", write)
    with pytest.raises(OSError, match="the disk went away"):
        separator.separate_song(song, tmp_path / "out", Options("tiny"))
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("stopped", [False, True])
def test_what_a_song_took_goes_back_to_the_kernel_when_it_ends(stopped, separator, song, tmp_path, monkeypatch) -> None:
    given_back = []
    monkeypatch.setattr(memory, "trim_heap", lambda: given_back.append(True))
    stages = []
    with pytest.raises(Cancelled) if stopped else nullcontext():
        separator.separate_song(
            song,
            tmp_path,
            WAV,
            progress=lambda stage, _: stages.append(stage),
            stop=lambda: stopped and "separating" in stages,
        )
    assert given_back == [True]


def test_a_file_that_is_no_song_is_refused(separator, tmp_path) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"not a song at all" * 100)
    with pytest.raises(NotAudio):
        separator.separate_song(song, tmp_path / "out", WAV)


@pytest.mark.parametrize("wanted", ["fp32", "auto"])
def test_another_engine_takes_the_place_of_the_networks_own(wanted, model, song, kit, tmp_path) -> None:
    def quarters(part, device, precision):
        count = len(model.sources)
        engine = SimpleNamespace(forward=lambda batch: batch[:, None].repeat(1, count, 1, 1) / count)
        return engine, EngineChoice("none", precision, None)

    separator = Separator(model, kit.CPU, precision=wanted, choose=quarters)
    result = separator.separate_song(song, tmp_path / "out", WAV)
    assert result.report["engine"] == [{"layout": "none", "precision": wanted, "snr_db": None, "kernels": {}}]
    for stem in stems_of(result).values():
        # A quarter of the song, but for its mean, which Demucs gives to each stem whole.
        centred = samples_of(song) - samples_of(song).mean()
        assert np.abs(stem - stem.mean() - centred / 4).max() < 1e-3
