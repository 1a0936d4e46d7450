"""The header Idempotency-Key: the same answer for the same request, and no other effect of it."""

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msaas.auth import idempotency
from msaas.auth.idempotency import Answers
from msaas.auth.keys import new_key
from msaas.errors import NotAudio, RequestInProgress
from tests.support.api import RAW, URL, as_base64, fake_probe, problem, song_bytes

KEY = {"Idempotency-Key": '"a key of mine"'}


def send(client, song, headers=KEY, query=""):
    return client.post(URL + query, data=song, headers=headers, **RAW)


def same(first, second):
    kept = ("Location", "Content-Type")
    return (first.status_code, first.data, *(first.headers[name] for name in kept)) == (
        second.status_code,
        second.data,
        *(second.headers[name] for name in kept),
    )


def test_an_answer_says_whether_the_job_was_known(client, player, song):
    assert send(client, song, headers={}).json["known"] is False
    assert send(client, song, headers={}).json["known"] is True
    player.work()
    assert send(client, song, headers={}).json["known"] is True


def test_a_repeated_request_gets_the_first_answer_and_starts_nothing(client, queue, player, song):
    first = send(client, song)
    assert first.status_code == 202
    assert "Idempotency-Replayed" not in first.headers
    player.work()
    client.delete(f"/apiv1/remove/{first.json['songhash']}-vocals")
    again = send(client, song)
    assert same(first, again)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert queue.counts().waiting == 0, "without the key the removed stem would be made again"
    assert send(client, song, headers={}).status_code == 202


def test_a_repeated_request_may_have_another_body_type(client, song):
    first = send(client, song, query="?stems=vocals,drums")
    as_json = client.post(URL, json={"mp3": as_base64(song), "stems": ["drums", "vocals"]}, headers=KEY)
    form = client.post(URL, data={"file": (io.BytesIO(song), "s"), "stems": "vocals,drums"}, headers=KEY)
    assert same(first, as_json)
    assert same(first, form)


def test_a_callback_of_a_repeated_request_is_called_once(client, redis, player, song):
    callback = "?callback=" + '{"url": "https://example.com/done"}'
    send(client, song, query=callback)
    player.work()
    assert redis.zcard("callbacks") == 1
    send(client, song, query=callback)
    assert redis.zcard("callbacks") == 1
    send(client, song, headers={}, query=callback)
    assert redis.zcard("callbacks") == 2, "without the key it is called again"


@pytest.mark.parametrize("other", ["song", "options", "callback"])
def test_a_key_of_another_request_is_refused(client, queue, song, other):
    send(client, song)
    query = {"options": "?format=flac", "callback": '?callback={"url": "https://example.com/x"}'}.get(other, "")
    answer = send(client, song_bytes(hertz=880) if other == "song" else song, query=query)
    problem(answer, 422, "idempotency_key_reused")
    assert queue.counts().waiting == 1


def test_a_request_in_progress_refuses_its_repetition_until_it_is_answered(make_app, song):
    probing, go_on = threading.Event(), threading.Event()

    def slow_probe(path):
        probing.set()
        assert go_on.wait(60)
        return fake_probe(path)

    app, answers = make_app(probe=slow_probe), []
    first = threading.Thread(target=lambda: answers.append(send(app.test_client(), song)))
    first.start()
    assert probing.wait(60)
    busy = send(app.test_client(), song)
    problem(busy, 409, "request_in_progress")
    assert 1 <= int(busy.headers["Retry-After"]) <= 5
    problem(send(app.test_client(), song_bytes(hertz=880)), 422, "idempotency_key_reused")
    go_on.set()
    first.join(60)
    assert same(answers[0], send(app.test_client(), song))


def test_a_refused_request_leaves_its_key_free(make_app, song):
    verdicts = iter([NotAudio("no audio in it"), None])

    def probe(path):
        if error := next(verdicts):
            raise error
        return fake_probe(path)

    client = make_app(probe=probe).test_client()
    problem(send(client, song), 422, "not_audio")
    assert send(client, song).status_code == 202


@pytest.mark.parametrize(
    "text", ["", '""', '"open', 'in"side', "ä", '"ä"', "a, b", '"a", "b"', "x" * 256, '"' + "x" * 256 + '"', "a b"]
)
def test_a_key_that_is_not_one_string_is_refused(client, queue, song, text):
    problem(send(client, song, headers={"Idempotency-Key": text}), 400, "bad_idempotency_key")
    assert queue.counts().waiting == 0


@pytest.mark.parametrize(
    "text", ["abc", '"abc"', ' "abc" ', '"abc";v=1', r'"a\\b\"c"', '"a, b"', "8e03978e-40d5/x+y=="]
)
def test_a_key_may_be_quoted_or_not(client, song, text):
    assert same(*(send(client, song, headers={"Idempotency-Key": text}) for _ in range(2)))


def test_each_caller_has_keys_of_its_own(make_app, song):
    (anna, anna_key), (ben, ben_key) = (new_key(name, ["use"]) for name in ("anna", "ben"))
    client = make_app(api_keys=(anna_key, ben_key)).test_client()
    first, second = (
        client.post(URL, data=song, headers=KEY | {"Authorization": f"Bearer {key}"}, **RAW) for key in (anna, ben)
    )
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["songhash"] != second.json["songhash"]


# --- the store


def test_a_reservation_of_a_dead_process_ends_and_its_late_answer_is_not_kept(redis):
    answers = Answers(redis, reserved_seconds=0.05)
    first = answers.begin("me", "key", "request")
    while True:
        try:
            second = answers.begin("me", "key", "request")
            break
        except RequestInProgress:
            pass
    answers.keep(first, "late")
    answers.keep(second, "in time")
    assert answers.begin("me", "key", "request").answer == "in time"


def test_a_caller_keeps_its_newest_keys_only_and_each_for_a_time(redis, monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_KEYS", 3)
    answers = Answers(redis)
    for key in "abcde":
        answers.keep(answers.begin("me", key, "request"), f"answer {key}")
    assert [answers.begin("me", key, "request").answer for key in "cde"] == ["answer c", "answer d", "answer e"]
    assert redis.zcard("idempotency:me") == 3
    kept = redis.keys("idempotency:*")
    assert len(kept) == 4
    assert all(0 < redis.ttl(key) <= idempotency.KEPT_SECONDS for key in kept)
    assert answers.begin("me", "a", "another request").answer is None, "forgotten: as if it was never sent"


@pytest.mark.parametrize("kind", ["index", "record"])
def test_a_damaged_key_counts_as_missing(redis, kind):
    answers = Answers(redis)
    reservation = answers.begin("me", "key", "request")
    damaged = f"idempotency:me:{reservation.digest}" if kind == "record" else "idempotency:me"
    redis.delete(damaged)
    redis.set(damaged, "something else")
    if kind == "index":
        answers.free(reservation)
    assert answers.begin("me", "key", "request").answer is None


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x7E), max_size=30))
def test_any_header_is_a_key_or_refused(make_key, text):
    assert make_key(text) in (None, "bad_idempotency_key")


@pytest.fixture(scope="module")
def make_key():
    from flask import Flask

    from msaas.errors import BadRequest
    from msaas.web.http.idempotency import requested_key

    app = Flask("keys")

    def make(text):
        with app.test_request_context(headers={"Idempotency-Key": text.replace("\n", " ").replace("\r", " ")}):
            try:
                return None if requested_key() else "no key"
            except BadRequest as error:
                return error.code

    return make
