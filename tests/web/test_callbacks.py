"""The callback of a request: noted with the song, shown with the job, refused where it may not lead."""

import io
import json

import pytest

from msaas.callbacks.outbox import Outbox
from msaas.settings.networks import parse_networks
from tests.support.api import RAW, URL, as_base64, problem, song_bytes

HOOK = "https://a.example:8443/T0KEN?key=S3CRET"


@pytest.fixture
def noted(redis):
    return Outbox(redis).of


@pytest.fixture
def post(client, song):
    return lambda callback: client.post(URL, json={"callback": callback, "mp3": as_base64(song)})


@pytest.mark.parametrize("data", ["1e999", "NaN", "-Infinity", '{"a": [-1e400]}', "9" * 5000, "[" * 100_000])
def test_data_that_is_not_json_is_refused_in_each_kind_of_body(client, song, data):
    callback = f'{{"url": "https://example.org/hook", "data": {data}}}'
    body = f'{{"mp3": "{as_base64(song)}", "callback": {callback}}}'
    problem(client.post(URL, data=body, content_type="application/json"), 400, "bad_json")
    form = {"file": (io.BytesIO(song), "song.wav"), "callback": callback}
    problem(client.post(URL, data=form, content_type="multipart/form-data"), 422, "invalid_option")


@pytest.mark.parametrize(
    "callback",
    [
        {"url": "https://example.org/hook", "data": {"mp3": "fileref", "n": [1, None]}},
        {"url": "http://localhost:5000/nowhere"},  # as the first version's own client asks for
        {"url": "http://no-such-host.invalid/"},
        {"url": "https://example.org/hook", "data": {"file": "caf\udce9.mp3"}},  # a name that is not UTF-8
    ],
)
def test_a_callback_is_noted_and_no_host_is_a_reason_to_refuse(post, noted, callback):
    (one,) = noted(post(callback).json["songhash"])
    assert {"url": one.url, "data": json.loads(one.data)} == {"data": None, **callback}
    assert one.state == "waiting"


def test_forms_and_queries_take_a_callback_as_json_text(client, noted, song):
    text = json.dumps({"url": "https://example.org/hook"})
    form = client.post(URL, data={"callback": text, "file": (io.BytesIO(song), "s")})
    assert noted(form.json["songhash"])
    other = client.post(URL, query_string={"callback": text}, data=song_bytes(hertz=500), **RAW)
    assert noted(other.json["songhash"])


def test_a_callback_for_a_done_song_is_due_at_once_without_another_run(post, queue, redis, noted, done):
    for _ in range(2):
        answer = post({"url": HOOK})
        assert (answer.status_code, answer.json["songhash"], answer.json["state"]) == (200, done, "done")
    assert [one.state for one in noted(done)] == ["pending", "pending"]
    assert redis.zcard("callbacks") == 2
    assert queue.counts().waiting == 0


def test_the_job_shows_its_callbacks_without_the_receivers_secrets(client, post):
    job = post({"url": HOOK, "data": "S3CRET"}).json["links"]["job"]
    (shown,) = client.get(job).json["callbacks"]
    assert (shown["to"], shown["state"], shown["attempts"]) == ("https://a.example:8443", "waiting", 0)
    assert "T0KEN" not in client.get(job).text and "S3CRET" not in client.get(job).text


def test_a_cancelled_song_calls_back(client, post):
    cancelled = client.delete(post({"url": HOOK}).json["links"]["job"]).json
    assert [one["state"] for one in cancelled["callbacks"]] == ["pending"]


@pytest.mark.parametrize(
    "callback",
    [
        "https://example.org",
        [],
        {},
        {"data": 1},
        {"url": None},
        {"url": ["http://a"]},
        {"url": "http://a", "secret": "x"},
        {"url": "http://a", "data": "x" * 20_000},
    ],
)
def test_a_callback_of_another_shape_is_refused_with_the_song(post, queue, callback):
    assert "callback" in problem(post(callback), 422, "invalid_option")
    assert queue.counts().waiting == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "file:///etc/passwd",
        "//example.org",
        "http://",
        "http://[::1",
        "http://a:99999",
        "http://a b/",
        "http://a/\n",
        "http://a/" + "x" * 2048,
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
        "http://user:pass@example.org/",
        "http://example.org:6379/",
    ],
)
def test_a_callback_that_leads_where_none_may_go_is_refused_with_the_song(post, queue, redis, url):
    assert "callback.url" in problem(post({"url": url}), 422, "callback_refused")
    assert queue.counts().waiting == 0
    assert redis.keys("callback*") == []


def test_networks_opened_by_the_setting_are_taken(make_app, song):
    client = make_app(callback_allow=parse_networks("127.0.0.0/8")).test_client()
    body = {"callback": {"url": "http://127.0.0.1:1234/"}, "mp3": as_base64(song)}
    assert client.post(URL, json=body).status_code == 202


def test_too_many_callbacks_for_one_song_are_a_conflict(post, redis):
    name = post({"url": HOOK}).json["songhash"]
    redis.hset(f"callbacks:waiting:{name}", mapping={str(n): str(n) for n in range(999)})
    assert "too many callbacks" in problem(post({"url": "https://b.example"}), 409, "conflict")


def test_the_callback_is_no_part_of_the_songs_name(client, post, song):
    plain = client.post(URL, data=song, **RAW)
    assert plain.json["songhash"] == post({"url": "http://a.example"}).json["songhash"]
