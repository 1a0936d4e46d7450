"""Options of a request: what is taken, what is refused and in which words."""

import io
import json
from dataclasses import replace

import pytest

from msaas.audio.decode.probe import Probe
from msaas.formats import MP3_BITRATES
from msaas.options import Options
from tests.support.api import RAW, STEMS, URL, as_base64, nothing_is_left, problem

# --- options


BAD_OPTIONS = [
    ("stem=vocals", "'stem'"),
    ("format=ogg", "mp3, flac, wav"),
    ("model=htdemucs_9", "htdemucs_mini"),
    ("bitrate=1000", "320"),
    ("format=wav&bitrate=320", "wav"),
    ("stems=Vocals", "Vocals"),
    ("stems=,", "empty name"),
    ("two_stems=../x", "two_stems"),
    ("stems=vocals&two_stems=vocals", "exclude"),
    ("model=htdemucs_mini&model=htdemucs_mini", "model"),
    ("callback=nonsense", "callback"),
]


def test_unknown_options_are_refused_naming_what_there_is(client, queue, storage, scratch, song):
    for query, names in BAD_OPTIONS:
        assert names in problem(client.post(f"{URL}?{query}", data=song, **RAW), 422, "invalid_option")
    assert nothing_is_left(queue, storage, scratch)


def test_an_unknown_option_is_answered_with_the_list_of_them(client, song):
    detail = problem(client.post(URL, json={"mp3": as_base64(song), "bitrte": 128}), 422, "invalid_option")
    assert "bitrte" in detail
    assert all(name in detail for name in ("model", "stems", "two_stems", "format", "bitrate"))


def test_options_in_the_wrong_place_are_refused_not_overlooked(client, song):
    detail = problem(client.post(f"{URL}?format=wav", json={"mp3": as_base64(song)}), 422, "invalid_option")
    assert "JSON body" in detail
    answer = client.post(f"{URL}?format=wav", data={"file": (io.BytesIO(song), "s")})
    assert "form" in problem(answer, 422, "invalid_option")


def test_stems_are_checked_against_the_catalogue_and_what_a_worker_reported(client, queue, song):
    assert "vocals" in problem(client.post(f"{URL}?stems=kazoo", data=song, **RAW), 422, "invalid_option")
    queue.publish_model("htdemucs_mini", {"sources": list(STEMS)})
    detail = problem(client.post(f"{URL}?stems=kazoo", data=song, **RAW), 422, "invalid_option")
    assert "kazoo" in detail and "vocals" in detail
    assert client.post(f"{URL}?stems=bass", data=song, **RAW).status_code == 202


@pytest.mark.parametrize("name", ["model", "stems", "format", "callback", "data"])
def test_no_depth_of_nesting_is_a_500(client, song, name):
    for depth in [100, 400, *range(850, 1010, 10), 5000]:
        value = "[" * depth + "]" * depth
        member = (
            f'"callback": {{"url": "http://a.example", "data": {value}}}' if name == "data" else f'"{name}": {value}'
        )
        body = f'{{"mp3": "{as_base64(song)}", {member}}}'
        answer = client.post(URL, data=body, content_type="application/json")
        assert answer.status_code in ((200, 202, 400, 422) if name == "data" else (400, 422)), (depth, answer.text)


def test_every_mp3_bitrate_is_taken(client, queue, song):
    for bitrate in MP3_BITRATES:
        answer = client.post(f"{URL}?bitrate={bitrate}", data=song, **RAW)
        assert queue.get(answer.json["songhash"]).options["bitrate"] == bitrate


def test_the_default_model_is_the_settings_and_others_have_to_be_offered(make_app, queue, song):
    app = make_app(model="htdemucs", models=("htdemucs_ft",))
    name = app.test_client().post(f"{URL}?model=htdemucs_ft", data=song, **RAW).json["songhash"]
    assert queue.get(name).model == "htdemucs_ft"
    assert replace(Options("htdemucs"), model="htdemucs_ft").to_json() == json.dumps(
        queue.get(name).options, sort_keys=True, separators=(",", ":")
    )


def test_a_rate_of_the_song_that_its_format_does_not_have_is_refused_before_it_is_queued(make_app, queue, song):
    client = make_app(probe=lambda path: Probe("wav", "pcm_s16le", 96_000, 2, 0.2)).test_client()
    detail = problem(client.post(f"{URL}?sample_rate=source", data=song, **RAW), 422, "invalid_option")
    assert "mp3 cannot hold 96000 Hz" in detail and queue.counts().waiting == 0
    assert client.post(f"{URL}?sample_rate=source&format=flac", data=song, **RAW).status_code == 202


def test_the_choices_of_the_file_are_in_the_record(client, queue, song):
    query = "format=wav&bit_depth=24&sample_rate=48000&mono=true"
    recorded = queue.get(client.post(f"{URL}?{query}", data=song, **RAW).json["songhash"]).options
    assert (recorded["bit_depth"], recorded["sample_rate"], recorded["mono"]) == ("24", 48_000, True)


def test_a_part_that_begins_after_the_song_is_refused(client, queue, song):
    detail = problem(client.post(f"{URL}?start=0.2", data=song, **RAW), 422, "invalid_option")
    assert "start 0.2: the song ends after 0.200 seconds" in detail and queue.counts().waiting == 0
    posted = client.post(URL, json={"mp3": as_base64(song), "start": 0.1, "end": 0.15}).json
    job = client.get(posted["links"]["job"]).json
    assert (job["options"]["start"], job["options"]["end"]) == (0.1, 0.15)
    assert job["duration_seconds"] == pytest.approx(0.05)
