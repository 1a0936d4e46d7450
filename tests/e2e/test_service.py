"""A song in, four stems out: the whole path over HTTP, with a model that really separates."""

import base64
import io
import json
import uuid
import zipfile

import numpy as np
import pytest
import requests

from msaas import cli
from tests.support.audio.sounds import DATA, RATE, decode_with_av, decode_with_soundfile, flac, mp3, tune

STEMS = {"drums", "bass", "other", "vocals"}


def lag(a: np.ndarray, b: np.ndarray) -> int:
    """Samples by which `b` is late against `a`, by cross-correlation of their first channels."""
    size = 1 << (2 * a.shape[1] - 1).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(b[0], size) * np.conj(np.fft.rfft(a[0], size)), size)
    peak = int(np.argmax(correlation))
    return peak if peak < size // 2 else peak - size


@pytest.fixture
def service(live):
    return live


WHOLE_SONG = (DATA / "harbour-lights.mp3").read_bytes()


@pytest.mark.parametrize("seconds", [6, pytest.param(None, marks=pytest.mark.slow)])
def test_a_real_song_comes_out_as_four_whole_stems(service, seconds, tmp_path):
    song = WHOLE_SONG if seconds is None else mp3(decode_with_av(WHOLE_SONG)[:, : seconds * RATE], tmp_path)
    body = {"mp3": base64.b64encode(song).decode()}
    answer = requests.post(f"{service.url}/apiv1/separate", json=body, timeout=60)
    assert answer.status_code == 202
    job = service.until(answer.json()["songhash"], "done")
    assert set(job["stems"]) == STEMS
    assert job["model"] == "htdemucs_mini"
    loudness, tempo, key = (job["analysis"][name] for name in ("loudness", "tempo", "key"))
    assert -30 < loudness["integrated_lufs"] < loudness["true_peak_dbtp"] < 3
    if seconds is None:  # data/songs/harbour_lights.py
        assert (round(tempo["bpm"]), key["name"]) == (112, "D major")
    mixture = decode_with_av(song)
    stems = {stem: service.stem(job["songhash"], stem) for stem in STEMS}
    for data in stems.values():
        for decode in (decode_with_av, decode_with_soundfile):
            assert decode(data).shape == mixture.shape
    total = sum(decode_with_av(data) for data in stems.values())
    assert lag(mixture, total) == 0
    # The stems of htdemucs_mini do not add up to the mixture exactly, but they had better come near.
    assert np.sqrt(np.mean((total - mixture) ** 2)) < 0.5 * np.sqrt(np.mean(mixture**2))


def test_a_quality_runs_with_its_overlap_and_shifts_and_the_same_options_are_the_same_job(service):
    offer = requests.get(f"{service.url}/apiv1/models", timeout=60).json()
    best = {name: offer["qualities"]["best"][name] for name in ("overlap", "shifts")}
    song = flac(tune(4, seed=11))
    songhash = service.submit(song, quality="best", format="wav")
    job = service.until(songhash, "done")
    assert best == {name: job["options"][name] for name in best} != {"overlap": None, "shifts": 0}
    named = {name: str(value) for name, value in best.items() if value is not None}
    assert service.submit(song, **named, format="wav") == songhash
    usual = service.submit(song, format="wav")
    service.until(usual, "done")
    stems = [decode_with_av(service.stem(one, "drums")) for one in (songhash, usual)]
    assert stems[0].shape == stems[1].shape
    assert lag(*stems) == 0
    assert not np.array_equal(*stems)
    assert requests.get(f"{service.url}/apiv1/models", timeout=60).json()["seconds_per_audio_second"] > 0


@pytest.mark.parametrize("format_", ["flac", "wav"])
def test_each_format_is_exact_in_two_decoders(service, format_):
    song = tune(5)
    songhash = service.submit(flac(song), format=format_)
    service.until(songhash, "done")
    for stem in STEMS:
        data = service.stem(songhash, stem)
        a, b = decode_with_av(data), decode_with_soundfile(data)
        assert a.shape == b.shape == song.shape
        assert np.abs(a - b).max() < 1e-6


def test_two_stems_add_up_to_the_song(service):
    song = tune(5)
    songhash = service.submit(flac(song), format="wav", two_stems="vocals")
    assert set(service.until(songhash, "done")["stems"]) == {"vocals", "no_vocals"}
    total = sum(decode_with_soundfile(service.stem(songhash, stem)) for stem in ("vocals", "no_vocals"))
    assert np.abs(total - song).max() < 1e-4


def test_the_zip_holds_the_stems_as_they_are_served(service):
    songhash = service.submit(flac(tune(2)), stems="drums,vocals")
    service.until(songhash, "done")
    data = requests.get(f"{service.url}/apiv1/jobs/{songhash}/stems.zip", timeout=60).content
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    assert set(inside.values()) == {service.stem(songhash, stem) for stem in ("drums", "vocals")}


def test_posting_a_finished_song_again_costs_nothing(service):
    song = flac(tune(2))
    songhash = service.submit(song)
    first = service.until(songhash, "done")
    again = service.post(song)
    assert (again.status_code, again.json()["songhash"], again.json()["state"]) == (200, songhash, "done")
    assert service.job(songhash)["finished_at"] == first["finished_at"]


def test_a_song_whose_stem_was_removed_is_separated_again(service):
    song = flac(tune(2))
    songhash = service.submit(song)
    service.until(songhash, "done")
    assert requests.delete(f"{service.url}/apiv1/remove/{songhash}-drums", timeout=60).status_code == 200
    assert service.post(song).status_code == 202
    service.until(songhash, "done")
    assert service.stem(songhash, "drums")


def push_by_hand(service, song, tmp_path):
    songhash = str(uuid.uuid4())
    (tmp_path / "song").write_bytes(song)
    service.storage.put_input(songhash, tmp_path / "song")
    with service.redis() as redis:
        redis.rpush("toWorkers", songhash)
    return songhash


def test_a_song_stored_and_pushed_by_hand_comes_out_too(service, tmp_path):
    songhash = push_by_hand(service, flac(tune(2)), tmp_path)
    assert set(service.until(songhash, "done")["stems"]) == STEMS


def test_the_event_stream_tells_the_whole_story(service):
    songhash = service.submit(flac(tune(10)))
    seen = []
    with requests.get(f"{service.url}/apiv1/jobs/{songhash}/events", stream=True, timeout=60) as stream:
        for line in stream.iter_lines(decode_unicode=True):
            if line.startswith("data:"):
                seen.append(json.loads(line[5:]))
    assert [job["state"] for job in seen][-1] == "done"
    progress = [job["progress"] for job in seen if job["state"] == "running"]
    assert progress == sorted(progress)
    assert any(0 < fraction < 1 for fraction in progress)


def test_a_stem_the_model_has_not_is_refused_at_once(service):
    service.until(service.submit(flac(tune(1))), "done")  # the worker tells what its model separates
    answer = service.post(flac(tune(1)), stems="piano")
    assert answer.status_code == 422
    assert "drums" in answer.json()["detail"]


def test_what_only_decoding_reveals_fails_the_job_with_that_reason_once(service, tmp_path):
    job = service.until(push_by_hand(service, b"\0" * 5000, tmp_path), "failed")
    assert (job["error"]["code"], job["attempts"]) == ("not_audio", 1)


def test_the_command_line_separates_three_songs_at_once_of_which_one_is_broken(service, tmp_path, capsys):
    songs = [tmp_path / f"{name}.flac" for name in ("one", "broken", "two")]
    for song, seconds in zip(songs, (2, 4, 3), strict=True):
        song.write_bytes(flac(tune(seconds)))
    songs[1].write_bytes(songs[1].read_bytes()[:200])
    out = tmp_path / "out"
    assert cli.main(["separate", *map(str, songs), "-o", str(out), "--url", service.url, "--two-stems", "vocals"]) == 1
    assert {path.name for path in out.iterdir()} == {"one", "two"}
    for song, folder in ((songs[0], out / "one"), (songs[2], out / "two")):
        for stem in ("Vocals", "Instrumental"):
            saved = folder / f"{song.stem} ({stem}).mp3"
            assert decode_with_av(saved.read_bytes()).shape == decode_with_av(song.read_bytes()).shape
    assert f"{songs[1]}: " in capsys.readouterr().err
