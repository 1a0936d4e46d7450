"""A job's waveforms over HTTP, and that they go when its stems go."""

import base64
import json

import numpy as np
import pytest

from msaas.audio.waveform import Waveforms
from tests.support.api import NOBODY, problem


def drawing(done=10):
    return json.dumps(
        {"version": 1, "sample_rate": 44_100, "total_samples": 10, "done_samples": done, "stems": {}}
    ).encode()


def path(songhash):
    return f"/apiv1/jobs/{songhash}/waveforms"


def test_before_there_are_any_it_says_so(client, done):
    assert "or not yet" in problem(client.get(path(done)), 404, "waveforms_unknown")
    problem(client.get(path(NOBODY)), 404, "waveforms_unknown")
    problem(client.get(path("no-uuid")), 404, "job_unknown")


def test_whole_ones_are_kept_by_browsers_and_partial_ones_asked_about(client, storage, done):
    storage.put_waveforms(done, drawing(4))
    partial = client.get(path(done))
    assert (partial.json["done_samples"], partial.headers["Cache-Control"]) == (4, "private, no-cache")
    again = client.get(path(done), headers={"If-None-Match": partial.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    storage.put_waveforms(done, drawing(10))
    whole = client.get(path(done), headers={"If-None-Match": partial.headers["ETag"]})
    assert (whole.status_code, whole.headers["Cache-Control"]) == (200, "private, max-age=86400")


def test_an_object_that_is_no_drawing_counts_as_none(client, storage, done):
    for data in (b"", b"\xff", b"[1]", b"{}", b"[" * 100_000, b'{"done_samples": 1}'):
        storage.put_waveforms(done, data)
        problem(client.get(path(done)), 404, "waveforms_unknown")


def test_they_go_with_the_last_stem(client, storage, done):
    storage.put_waveforms(done, drawing())
    for stem in ("vocals", "drums", "bass"):
        client.delete(f"/apiv1/remove/{done}-{stem}")
    assert client.get(path(done)).status_code == 200
    client.delete(f"/apiv1/remove/{done}-other")
    assert client.get(path(done)).status_code == 404


def test_they_go_when_the_buckets_are_emptied_and_are_not_counted(client, storage, done):
    storage.put_waveforms(done, drawing())
    assert client.delete("/apiv1/contents").json["deleted"] == 5
    assert client.get(path(done)).status_code == 404


def test_a_store_set_up_before_there_were_any_gets_its_bucket(client, storage, done):
    storage.client.remove_bucket("waveforms")
    assert client.get(path(done)).status_code == 404
    assert client.delete("/apiv1/contents").status_code == 200
    storage.put_waveforms(done, drawing())
    assert client.get(path(done)).status_code == 200


def test_the_list_of_buckets_leaves_them_out(client, storage, done):
    storage.put_waveforms(done, drawing())
    assert set(client.get("/apiv1/bucket").json) == {"input-tracks", "output-tracks"}


# --- a part of the song


def stored(storage, songhash, *, detail=True):
    """Waveforms of 10 s of silence with a loud moment at 5 s."""
    samples = np.zeros((2, 441_000), np.float32)
    samples[:, 220_500:220_600] = 0.5
    waveforms = Waveforms(["drums"], 441_000, 44_100)
    waveforms.add("drums", samples)
    storage.put_waveforms(songhash, json.dumps(waveforms.to_json()).encode())
    if detail:
        storage.put_waveform_detail(songhash, waveforms.detail())


def loud(answer):
    """The seconds of the loud intervals, and how long an interval is."""
    first, last = answer["start_sample"] / 44_100, answer["end_sample"] / 44_100
    peaks = base64.b64decode(answer["stems"]["drums"]["peak"])
    length = (last - first) / len(peaks)
    return [first + index * length for index, peak in enumerate(peaks) if peak], length


@pytest.mark.parametrize(("detail", "length"), [(True, 256 / 44_100), (False, 10 / 2000)])
def test_a_part_has_the_finest_intervals_there_are(client, storage, done, detail, length):
    stored(storage, done, detail=detail)
    answer = client.get(path(done) + "?start=4.9&end=5.1")
    assert answer.headers["Cache-Control"] == "private, max-age=86400"
    seconds, found = loud(answer.json)
    assert found == pytest.approx(length, rel=0.02)
    assert seconds[0] == pytest.approx(5, abs=2 * length)
    assert answer.json["start_sample"] <= 4.9 * 44_100 and answer.json["end_sample"] >= 5.1 * 44_100
    assert len(base64.b64decode(client.get(path(done) + "?start=1").json["stems"]["drums"]["peak"])) == 1800
    assert "start_sample" not in client.get(path(done)).json  # as ever


@pytest.mark.parametrize(
    "query", ["start=x", "start=-1", "end=nan", "start=5&end=5", "start=10", "end=0", "start=1e99"]
)
def test_a_part_that_is_none_is_refused_in_a_line(client, storage, done, query):
    stored(storage, done)
    assert "start" in (text := problem(client.get(f"{path(done)}?{query}"), 422, "invalid_option")) or "end" in text


def test_damaged_detail_gives_the_waveforms_of_the_whole(client, storage, done):
    stored(storage, done, detail=False)
    for data in (
        b"x",
        b" " * 5000,
        b'{"version":1,"interval":256,"total_samples":441000,"stems":["drums"]}'.ljust(4100),
    ):
        storage.put_waveform_detail(done, data)
        assert loud(client.get(path(done) + "?start=4.9&end=5.1").json)[1] == pytest.approx(0.005)


def test_detail_goes_with_the_last_stem(client, storage, done):
    stored(storage, done)
    for stem in ("vocals", "drums", "bass", "other"):
        client.delete(f"/apiv1/remove/{done}-{stem}")
    assert storage.read_waveform_detail(done, 0, 10) is None
