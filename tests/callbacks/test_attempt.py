"""One attempt against receivers that misbehave: what is made of each, and how long it takes."""

import json
import ssl
import time
from dataclasses import replace

import pytest
import trustme
from standardwebhooks import Webhook

from msaas.callbacks.http_post import BODY_LIMIT_BYTES
from msaas.callbacks.payload import payload
from msaas.callbacks.schedule import AttemptOutcome
from msaas.settings.callback_secrets import Secret
from tests.callbacks.conftest import SECRET, a_callback
from tests.support.environment import BUSY_SECONDS
from tests.support.receivers import (
    Flood,
    answers,
    dies_after_receipt,
    hangs,
    trickles_body,
    trickles_headers,
    trickles_status,
)


def timed(post, callback):
    began = time.monotonic()
    return post(callback), time.monotonic() - began


def test_a_receiver_gets_a_signed_post_that_the_reference_library_verifies(post, receiver):
    listening = receiver(answers(204))
    callback = a_callback(f"{listening.url}/ä?x=1&y=%20", data='{"mine":[1,null,"ü"]}')
    assert post(secrets=[Secret.parse(SECRET)])(callback).delivered
    (request,) = listening.requests
    assert request.line == "POST /hook/%C3%A4?x=1&y=%20 HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{listening.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == callback.id
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert (body["songhash"], body["state"], body["type"]) == (callback.songhash, "done", "job.done")
    assert body["data"] == {"mine": [1, None, "ü"]}


def test_without_a_secret_a_callback_goes_unsigned(post, receiver):
    listening = receiver(answers(200))
    assert post()(a_callback(listening.url)).delivered
    headers = listening.requests[0].headers
    assert "webhook-signature" not in headers and headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize("status", [200, 204, 301, 307, 400, 404, 410, 429, 500, 503])
def test_the_answers_status_is_what_counts(post, receiver, status):
    outcome = post()(a_callback(receiver(answers(status, headers="Retry-After: 7\r\n", body=b"internals")).url))
    assert (outcome.status, outcome.retry_after, outcome.refused) == (status, "7", False)
    assert outcome.delivered == (status < 300)
    assert "internals" not in outcome.error


@pytest.mark.parametrize("behave", [hangs, trickles_status, trickles_headers])
def test_a_receiver_that_never_ends_its_answer_is_cut_off_in_time(post, receiver, behave):
    outcome, seconds = timed(post(attempt_seconds=0.5), a_callback(receiver(behave).url))
    assert outcome == AttemptOutcome(error="no complete answer within 0.5 seconds")
    assert seconds < BUSY_SECONDS


def test_a_trickling_body_changes_no_status_and_lasts_no_longer(post, receiver):
    for status in (200, 500):
        outcome, seconds = timed(post(attempt_seconds=0.5), a_callback(receiver(trickles_body(status)).url))
        assert outcome.status == status
        assert seconds < BUSY_SECONDS


def test_of_an_endless_body_a_bounded_part_is_read(post, receiver):
    flood = Flood()
    assert post(attempt_seconds=60)(a_callback(receiver(flood).url)).delivered
    assert flood.ended.wait(5)
    assert flood.sent < 100 * BODY_LIMIT_BYTES  # what the kernel buffers on both sides comes on top


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"-ERR unknown command 'POST'\r\n",
        b"HTTP/1.1 abc X\r\n\r\n",
        b"HTTP/1.1 99999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 " + b"x" * 100_000,
    ],
)
def test_what_is_no_http_answer_is_tried_again_and_its_words_are_not_kept(post, receiver, answer):
    outcome = post()(a_callback(receiver(lambda connection: connection.sendall(answer)).url))
    assert outcome.status is None and not outcome.refused
    assert "SSH" not in outcome.error and "ERR" not in outcome.error


def test_a_receiver_that_dies_after_receipt_is_tried_again(post, receiver):
    listening = receiver(dies_after_receipt)
    outcome = post()(a_callback(listening.url))
    assert len(listening.requests) == 1
    assert not outcome.delivered and not outcome.refused and outcome.error


def test_a_closed_port_is_no_connection(post, receiver):
    with receiver(answers(200)) as gone:
        url = gone.url
    outcome, seconds = timed(post(), a_callback(url))
    assert outcome.error == "no connection: Connection refused" and seconds < BUSY_SECONDS


def test_the_next_address_is_tried_where_the_first_takes_no_connection(post, receiver):
    listening = receiver(answers(200))
    both = post(resolve=lambda *_: ["::1", "127.0.0.1"])
    assert both(a_callback(f"http://both.example:{listening.port}/")).delivered


def test_a_resolver_that_never_answers_ends_with_the_attempt(monkeypatch, post):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(2 * BUSY_SECONDS) or [])
    outcome, seconds = timed(post(attempt_seconds=0.5), a_callback("http://slow-dns.example/"))
    assert "not resolved in time" in outcome.error and seconds < BUSY_SECONDS


# --- TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(receiver, authority):
    """A receiver with a certificate for these names; and the server names that clients asked for."""

    def start(*names):
        context, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
        authority.issue_cert(*names).configure_cert(context)
        context.sni_callback = lambda _, name, __: asked.append(name)
        return receiver(answers(200), context=context), asked

    return start


@pytest.fixture
def trusting(post, authority):
    """Dials 127.0.0.1 whatever the name, and trusts the test's own authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return post(context=context, resolve=lambda *_: ["127.0.0.1"], attempt_seconds=60)


def test_name_and_certificate_are_the_urls_though_an_address_is_dialled(secure, trusting):
    listening, asked = secure("hooks.example")
    assert trusting(a_callback(f"https://hooks.example:{listening.port}/")).delivered
    assert asked == ["hooks.example"]
    assert listening.requests[0].headers["host"] == f"hooks.example:{listening.port}"


def test_a_certificate_of_another_name_is_refused_before_anything_is_sent(secure, trusting):
    listening, _ = secure("other.example", "127.0.0.1")
    outcome = trusting(a_callback(f"https://hooks.example:{listening.port}/"))
    assert "TLS" in outcome.error and "hooks.example" in outcome.error
    assert listening.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(secure, trusting):
    listening, _ = secure("hooks.example")
    outcome = replace(trusting, context=ssl.create_default_context())(
        a_callback(f"https://hooks.example:{listening.port}/")
    )
    assert "TLS" in outcome.error and listening.requests == []


def test_a_handshake_that_hangs_is_cut_off_in_time(post, receiver):
    listening = receiver(hangs)  # reads, and never speaks TLS
    outcome, seconds = timed(post(attempt_seconds=0.5), a_callback(listening.url.replace("http:", "https:")))
    assert outcome == AttemptOutcome(error="no complete answer within 0.5 seconds") and seconds < BUSY_SECONDS


# --- payload


def received(public_url="", **changes):
    return json.loads(payload(a_callback("http://a.example/", **changes), public_url=public_url))


def test_the_payload_has_absolute_links_where_the_public_address_is_known():
    plain, public = received(), received("https://music.example/api")
    track = f"/apiv1/track/{plain['songhash']}-vocals"
    assert plain["stems"]["vocals"] == track
    assert public["stems"]["vocals"] == f"https://music.example/api/apiv1/track/{public['songhash']}-vocals"
    assert plain["timings"] == {"waited_seconds": 2.0, "ran_seconds": 6.0}
    assert plain["timestamp"] == plain["finished_at"] == "1970-01-01T00:00:09.000Z"


def test_a_failed_job_tells_its_error_and_links_no_stems():
    snapshot = {"state": "failed", "error": '{"code":"not_audio","detail":"no sound in it"}', "finished_ms": "9000"}
    body = received(snapshot=snapshot)
    assert (body["type"], body["stems"]) == ("job.failed", {})
    assert body["error"] == {"code": "not_audio", "detail": "no sound in it"}


def test_the_warnings_of_a_song_are_told():
    warning = {"code": "downmixed", "detail": "6 channels were mixed to stereo."}
    result = json.dumps({"stems": {"vocals": "mp3"}, "warnings": [warning]})
    assert received(snapshot={"state": "done", "result": result, "finished_ms": "9000"})["warnings"] == [warning]
    assert received()["warnings"] == []


def test_a_cancelled_job_is_told_without_an_error():
    body = received(snapshot={"state": "cancelled", "error": '{"code":"x"}', "finished_ms": "9000"})
    assert (body["type"], body["error"]) == ("job.cancelled", None)


@pytest.mark.parametrize("data", ["", "{", "NaN", "[" * 100_000, "9" * 5000])
def test_a_callback_whose_data_cannot_be_read_is_refused_with_that_reason(post, data):
    outcome = post()(a_callback("http://127.0.0.1:9/", data=data))
    assert outcome.refused and "damaged" in outcome.error


@pytest.mark.parametrize("snapshot", [{}, {"state": "running"}, {"state": "exploded"}])
def test_a_callback_that_does_not_know_how_its_job_ended_tells_nothing_wrong(post, snapshot):
    outcome = post()(a_callback("http://127.0.0.1:9/", snapshot=snapshot))
    assert outcome.refused and "damaged" in outcome.error


def test_the_bytes_are_the_same_at_each_attempt():
    callback = a_callback("http://a.example/", data='{"b":1,"a":2}')
    assert payload(callback) == payload(replace(callback, attempts=5))
