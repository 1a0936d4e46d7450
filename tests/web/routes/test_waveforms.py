"""A job's waveforms over HTTP, and that they go when its stems go."""

import json

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
