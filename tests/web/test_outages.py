"""Redis or the object store away, and every other way for a call to go wrong: always problem details, never a 500."""

import json

import pytest

from msaas.settings import Settings
from msaas.wiring.api import build_app
from msaas.wiring.stores import build_queue, build_storage
from tests.support.api import NOBODY, RAW, URL, as_base64, fake_probe, problem

NOWHERE = Settings.from_env({"REDIS_HOST": "127.0.0.1:9", "MINIO_HOST": "127.0.0.1:9"})

CALLS = [
    ("POST", URL, "both"),
    ("GET", "/apiv1/queue", "redis"),
    ("GET", "/apiv1/bucket", "s3"),
    ("GET", f"/apiv1/track/{NOBODY}-vocals", "both"),
    ("HEAD", f"/apiv1/track/{NOBODY}-vocals", "both"),
    ("DELETE", f"/apiv1/remove/{NOBODY}-vocals", "s3"),
    ("GET", "/apiv1/delete_contents", "s3"),
    ("DELETE", "/apiv1/contents", "s3"),
    ("GET", f"/apiv1/jobs/{NOBODY}", "redis"),
    ("DELETE", f"/apiv1/jobs/{NOBODY}", "redis"),
    ("GET", f"/apiv1/jobs/{NOBODY}/events", "redis"),
    ("GET", f"/apiv1/jobs/{NOBODY}/stems.zip", "redis"),
]


@pytest.fixture
def without_redis(settings, storage):
    return build_app(settings, queue=build_queue(NOWHERE), storage=storage, probe=fake_probe).test_client()


@pytest.fixture
def without_s3(settings, queue):
    return build_app(settings, queue=queue, storage=build_storage(NOWHERE), probe=fake_probe).test_client()


def refused(answer, code):
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    if answer.request.method != "HEAD":
        problem(answer, 503, code)


def call(client, method, path, song):
    body = {"data": song, **RAW} if method == "POST" else {}
    return client.open(path, method=method, **body)


def test_every_call_that_needs_redis_is_a_503_while_it_is_away(without_redis, storage, scratch, song):
    for method, path, needs in CALLS:
        if needs != "s3":
            refused(call(without_redis, method, path, song), "queue_unavailable")
    assert not list(scratch.glob("msaas-*"))
    assert not list(storage.names("input-tracks"))


def test_every_call_that_needs_s3_is_a_503_while_it_is_away(without_s3, queue, scratch, song):
    for method, path, needs in CALLS:
        if needs != "redis":
            refused(call(without_s3, method, path, song), "storage_unavailable")
    assert not list(scratch.glob("msaas-*"))
    assert queue.counts().waiting == 0


def test_being_alive_asks_nobody_and_being_ready_names_who_is_away(client, without_redis, without_s3):
    ready = {"status": "ok", "redis": "ok", "s3": "ok", "workers": 0, "models": {"htdemucs_mini": 0}}
    assert client.get("/readyz").json == ready
    for one, away, there in ((without_redis, "redis", "s3"), (without_s3, "s3", "redis")):
        assert one.get("/healthz").json == {"status": "ok"}
        answer = one.get("/readyz")
        assert away in problem(answer, 503, "not_ready")
        body = json.loads(answer.data)
        assert (body[away] == "ok", body[there]) == (False, "ok")
        assert answer.headers["Retry-After"]


def test_no_answer_names_the_machines_behind_the_api(without_redis, without_s3, storage, song, caplog):
    for one, address in ((without_redis, "127.0.0.1"), (without_s3, "127.0.0.1")):
        answers = [one.get("/readyz"), *(call(one, method, path, song) for method, path, _ in CALLS)]
        assert {answer.status_code for answer in answers} >= {503}
        for answer in answers:
            assert address not in answer.text
    assert "127.0.0.1" in caplog.text  # the log is for whoever has to mend it


def test_a_wrong_key_is_not_ready_and_shows_no_secret(settings, queue, s3):
    wrong = Settings.from_env({"MINIO_HOST": s3.address, "MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "verysecret"})
    client = build_app(settings, queue=queue, storage=build_storage(wrong)).test_client()
    answer = client.get("/readyz")
    assert "verysecret" not in problem(answer, 503, "not_ready")


# --- every other error


def test_an_unknown_path_is_a_problem(client):
    for path in ("/nowhere", "/apiv2", "/apiv1/track/", "/apiv1/job", "/apiv1/track/a/b", "/%00"):
        problem(client.get(path), 404, "not_found")


WRONG_METHODS = [
    ("GET", URL, "POST"),
    ("PUT", URL, "POST"),
    ("POST", "/apiv1/queue", "GET"),
    ("POST", f"/apiv1/jobs/{NOBODY}", "DELETE"),
    ("POST", "/apiv1/delete_contents", "GET"),
    ("GET", "/apiv1/contents", "DELETE"),
    ("PATCH", f"/apiv1/track/{NOBODY}-vocals", "HEAD"),
]


def test_a_wrong_method_is_a_405_that_names_the_right_one(client):
    for method, path, allowed in WRONG_METHODS:
        answer = client.open(path, method=method)
        problem(answer, 405, "method_not_allowed")
        assert allowed in answer.headers["Allow"]


def test_every_json_answer_is_kept_by_nobody_and_guessed_at_by_nobody(client, song):
    for path in ("/", "/apiv1/queue", "/apiv1/bucket", "/healthz", "/readyz", "/nowhere", f"/apiv1/jobs/{NOBODY}"):
        answer = client.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.post(URL, json={"mp3": as_base64(song)}).headers["Cache-Control"] == "no-store"


def test_a_long_detail_is_cut(client, song):
    detail = problem(client.post(f"{URL}?model={'m' * 4000}", data=song, **RAW), 422, "invalid_option")
    assert len(detail) < 1100
