"""Which addresses may be fetched from, and songs of the store's own buckets."""

from __future__ import annotations

import pytest

from msaas.jobs import State
from tests.fetching.conftest import HOME
from tests.support.api import RAW, URL, problem


def by_address(client, url, **more):
    answer = client.post(URL, json={"url": url, **more})
    assert answer.status_code == 202, answer.text
    return answer.json["songhash"]


def job(client, name):
    return client.get(f"/apiv1/jobs/{name}").json


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/", "fetch_refused"),
        ("http://2130706433/", "fetch_refused"),
        ("http://[::ffff:127.0.0.1]/", "fetch_refused"),
        ("https://example.org:22/", "fetch_refused"),
        ("ftp://example.org/", "fetch_refused"),
        ("file:///etc/passwd", "fetch_refused"),
        ("", "fetch_refused"),
        ("s3://music/song.wav", "fetch_refused"),
        (7, "invalid_option"),
        (None, "invalid_option"),
        (["https://example.org"], "invalid_option"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused_at_once(client, fetches, url, code):
    problem(client.post(URL, json={"url": url}), 422, code)
    assert fetches.counts().waiting == 0


def test_a_service_may_refuse_addresses(make_app, fetches):
    problem(make_app(fetch=False).test_client().post(URL, json={"url": "https://example.org/"}), 403, "forbidden")
    assert fetches.counts().waiting == 0


def test_options_are_checked_when_the_address_is_posted(client, fetches):
    problem(client.post(URL, json={"url": "https://example.org/", "format": "ogg"}), 422, "invalid_option")
    problem(client.post(URL, json={"url": "https://example.org/", "mp3": "AAAA"}), 400, "bad_json")
    problem(client.post(URL, json={"URL": "https://example.org/"}), 400, "missing_mp3")
    assert fetches.counts().waiting == 0


# --- buckets


@pytest.fixture
def music(storage):
    """A bucket beside ours, with a song in a folder."""

    def put(key, data):
        if not storage.client.bucket_exists("music"):
            storage.client.make_bucket("music")
        storage._put_bytes("music", key, data, "audio/wav")

    yield put
    if storage.client.bucket_exists("music"):
        storage.remove("music", [item.name for item in storage.names("music")])


def test_a_song_of_a_listed_folder_is_fetched(make_app, make_fetcher, queue, music, song):
    music("in/a song.wav", song)
    client = make_app(fetch_buckets=("music/in",)).test_client()
    name = by_address(client, "s3://music/in/a song.wav")
    assert job(client, name)["fetched_from"] == "s3://music"
    make_fetcher(buckets=("music/in",)).turn()
    uploaded = client.post(URL, data=song, **RAW)
    assert (job(client, name)["songhash"], uploaded.json["known"]) == (uploaded.json["songhash"], True)


@pytest.mark.parametrize(
    "url",
    [
        "s3://music/elsewhere/song.wav",
        "s3://music/in2/song.wav",
        "s3://music/in/../elsewhere/song.wav",
        "s3://music/in//song.wav",
        "s3://music/in/./song.wav",
        "s3://music/in/",
        "s3://music/in",
        "s3://other/in/song.wav",
        "s3://input-tracks/song.mp3",
        "s3://output-tracks/song-vocals.mp3",
        "s3://waveforms/song.json",
        "s3://MUSIC/in/song.wav",
        "s3:///in/song.wav",
        "s3://music/in/a\nb",
    ],
)
def test_other_buckets_and_folders_are_refused(make_app, fetches, url):
    buckets = ("music/in", "input-tracks", "output-tracks", "waveforms")
    problem(make_app(fetch_buckets=buckets).test_client().post(URL, json={"url": url}), 422, "fetch_refused")
    assert fetches.counts().waiting == 0


@pytest.mark.parametrize("url", ["s3://music/in/missing.wav", "s3://no-such-bucket/in/song.wav"])
def test_an_object_that_is_not_there_fails_with_that_reason(make_app, make_fetcher, music, song, url):
    music("in/other.wav", song)
    buckets = ("music/in", "no-such-bucket")
    client = make_app(fetch_buckets=buckets).test_client()
    name = by_address(client, url)
    make_fetcher(buckets=buckets).turn()
    error = job(client, name)["error"]
    assert (error["code"], "no such object" in error["detail"]) == ("fetch_failed", True)


def test_a_fetched_song_of_a_tenant_is_that_tenants(make_app, fetcher, queue, server, song):
    from msaas.auth.keys import new_key

    (anna, anna_key), (ben, ben_key) = (new_key(name, ["use"]) for name in ("anna", "ben"))
    client = make_app(api_keys=(anna_key, ben_key), fetch_allow=HOME).test_client()
    as_anna, as_ben = ({"Authorization": f"Bearer {key}"} for key in (anna, ben))
    name = client.post(URL, json={"url": server(song).url}, headers=as_anna).json["songhash"]
    problem(client.get(f"/apiv1/jobs/{name}", headers=as_ben), 404, "job_unknown")
    fetcher.turn()
    [songhash] = queue.waiting()
    assert queue.get(songhash).tenant == "anna"
    assert client.get(f"/apiv1/jobs/{name}", headers=as_anna).json["songhash"] == songhash
    problem(client.get(f"/apiv1/jobs/{name}", headers=as_ben), 404, "job_unknown")
    assert queue.get(name).state is State.DONE
