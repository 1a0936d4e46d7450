"""The callback of a mix: as a song's, over real HTTP, also for a mix that is done already."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook

from msaas import cli
from msaas.callbacks.outbox import Outbox
from msaas.callbacks.payload import payload
from msaas.callbacks.sender import HttpPost, Sender
from msaas.client import Client, ServiceError
from msaas.settings.callback_secrets import Secret
from tests.mixing.conftest import Studio
from tests.support.api import problem
from tests.support.api_process import real_api, url
from tests.support.receivers import HOME, Receiver, answers, answers_in_turn

__all__ = ["real_api", "url"]

HOOK = "https://a.example:8443/T0KEN?key=S3CRET"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's example


@pytest.fixture
def outbox(redis):
    return Outbox(redis)


@pytest.fixture
def sender(outbox):
    post = HttpPost(HOME, secrets=[Secret.parse(SECRET)], attempt_seconds=60)
    one = Sender(outbox, post, every_seconds=0.02, delays=(0.0, 0.05, 0.05), random=lambda: 0.0)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def home(make_app, renderer, mixes, storage, tmp_path):
    """A studio whose callbacks may go to this machine."""
    return Studio(make_app(callback_allow=HOME.allow).test_client(), renderer, mixes, storage, tmp_path, {})


@pytest.fixture
def mixed(make_song):
    return make_song()


def bodies(outbox: Outbox) -> list[dict]:
    return [json.loads(payload(one)) for one in outbox.take(10, limit=10)]


def test_a_mix_calls_back_signed_and_again_after_an_error(home, mixed, sender, outbox):
    with Receiver(answers_in_turn(answers(500), answers(200))) as listening:
        view = home.mix(mixed, format="wav", callback={"url": listening.url, "data": {"order": 17}})
        first, second = listening.wait_for(2)
    assert first.body == second.body
    body = Webhook(SECRET).verify(second.body, second.headers)
    assert (body["type"], body["songhash"], body["data"]) == ("job.done", view["songhash"], {"order": 17})
    assert body["mix"] == {"of": mixed.songhash}
    assert body["stems"] == {"mix": f"/apiv1/track/{view['songhash']}-mix"}
    schemas = home.client.get("/apiv1/openapi.json").json
    validator = Draft202012Validator({"$ref": "#/components/schemas/Called", "components": schemas["components"]})
    assert [error.message for error in validator.iter_errors(body)] == []


def test_a_mix_that_is_done_already_calls_back_at_once_each_time(home, mixed, sender, outbox):
    done = home.mix(mixed, format="wav")["songhash"]
    with Receiver(answers(200)) as listening:
        for count in (1, 2):
            answer = home.post(mixed, format="wav", callback={"url": listening.url, "data": count})
            assert (answer.status_code, answer.json["songhash"], answer.json["state"]) == (200, done, "done")
            listening.wait_for(count)
    found = [json.loads(request.body) for request in listening.requests]
    assert [(body["type"], body["songhash"], body["data"]) for body in found] == [
        ("job.done", done, 1),
        ("job.done", done, 2),
    ]
    assert home.mixes.counts().waiting == 0


def test_the_same_callback_posted_twice_for_a_waiting_mix_is_called_once(studio, mixed, outbox):
    for _ in range(2):
        mix = studio.post(mixed, callback={"url": HOOK}).json["songhash"]
    studio.post(mixed, callback={"url": HOOK, "data": "another"})
    assert [one.state for one in outbox.of(mix)] == ["waiting", "waiting"]
    studio.renderer.turn()
    assert [one.state for one in outbox.of(mix)] == ["pending", "pending"]


def test_the_callback_is_no_part_of_the_mix_and_not_shown(studio, mixed):
    plain = studio.post(mixed).json["songhash"]
    answer = studio.post(mixed, callback={"url": HOOK, "data": "S3CRET"})
    assert answer.json["songhash"] == plain
    [shown] = studio.view(plain)["callbacks"]
    assert (shown["to"], shown["state"]) == ("https://a.example:8443", "waiting")
    assert "T0KEN" not in answer.text and "S3CRET" not in answer.text


def test_a_mix_that_is_cancelled_or_fails_calls_back_too(studio, mixed, outbox, queue):
    cancelled = studio.post(mixed, format="wav", callback={"url": HOOK}).json["songhash"]
    studio.client.delete(f"/apiv1/jobs/{cancelled}")
    failed = studio.post(mixed, callback={"url": "https://b.example/"}).json["songhash"]
    queue.redis.delete(f"job:{mixed.songhash}")
    studio.renderer.turn()
    found = {body["songhash"]: body for body in bodies(outbox)}
    assert found[cancelled]["type"] == "job.cancelled"
    assert (found[failed]["type"], found[failed]["error"]["code"]) == ("job.failed", "object_missing")


def test_a_mix_that_is_deleted_with_its_song_calls_back(studio, mixed, outbox):
    waiting = studio.post(mixed, callback={"url": HOOK}).json["songhash"]
    for stem in mixed.stems:
        studio.client.delete(f"/apiv1/remove/{mixed.songhash}-{stem}")
    assert studio.client.get(f"/apiv1/jobs/{waiting}").status_code == 404
    assert [(body["type"], body["songhash"]) for body in bodies(outbox)] == [("job.cancelled", waiting)]


def test_a_mix_whose_file_was_removed_calls_back_once_it_is_rendered_again(studio, mixed, outbox):
    view = studio.mix(mixed, format="wav")
    studio.client.delete(f"/apiv1/remove/{view['songhash']}-mix")
    assert studio.post(mixed, format="wav", callback={"url": HOOK}).status_code == 202
    assert bodies(outbox) == []
    studio.renderer.turn()
    assert [body["type"] for body in bodies(outbox)] == ["job.done"]


@pytest.mark.parametrize(
    ("callback", "code"),
    [
        ("https://example.org", "invalid_option"),
        ({"data": 1}, "invalid_option"),
        ({"url": "http://a", "data": "x" * 20_000}, "invalid_option"),
        ({"url": "ftp://example.org"}, "callback_refused"),
        ({"url": "http://127.0.0.1/"}, "callback_refused"),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "callback_refused"),
        ({"url": "http://example.org:6379/"}, "callback_refused"),
    ],
)
def test_a_callback_that_a_song_may_not_have_refuses_the_mix(studio, mixed, redis, callback, code):
    assert "callback" in problem(studio.post(mixed, callback=callback), 422, code)
    assert studio.mixes.counts().waiting == 0
    assert redis.keys("callback*") == []


def test_a_mix_may_have_as_many_callbacks_as_a_song(studio, mixed, redis):
    mix = studio.post(mixed, callback={"url": HOOK}).json["songhash"]
    redis.hset(f"callbacks:waiting:{mix}", mapping={str(n): str(n) for n in range(999)})
    assert "too many callbacks" in problem(studio.post(mixed, callback={"url": "https://b.example"}), 409, "conflict")


def test_an_unknown_member_is_told_that_a_callback_is_known(studio, mixed):
    assert "callback" in problem(studio.post(mixed, callback_url=HOOK), 422, "invalid_option")


def test_client_and_command_ask_for_a_callback(url, make_song, renderer, outbox, tmp_path):
    song = make_song()
    renderer.start()
    try:
        with Client(url) as client:
            mix = client.mix(song.songhash, format="wav", callback={"url": HOOK, "data": 1})
            client.wait(mix)
            with pytest.raises(ServiceError) as error:
                client.mix(song.songhash, callback={"url": "ftp://a"})
        assert error.value.code == "callback_refused"
        command = ["mix", song.songhash, "--format", "wav", "-o", str(tmp_path), "--url", url]
        assert cli.main([*command, "--callback", "https://b.example/hook"]) == 0
    finally:
        renderer.stop()
    assert {one.origin for one in outbox.of(mix.songhash)} == {"https://a.example:8443", "https://b.example"}
