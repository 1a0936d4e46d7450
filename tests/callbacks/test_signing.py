"""The reference implementation of Standard Webhooks verifies what is sent."""

import time

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from msaas.callbacks.signing import new_secret, signed_headers
from msaas.settings.callback_secrets import Secret, parse_secrets

OLD, NEW, OTHER = new_secret(), new_secret(), new_secret()
BODY = '{"songhash":"ä"}'.encode()


def headers(*texts, at=None):
    return signed_headers([Secret.parse(text) for text in texts], "msg_1", int(at or time.time()), BODY)


def test_the_reference_library_verifies_our_signature():
    assert Webhook(OLD).verify(BODY, headers(OLD)) == {"songhash": "ä"}


def test_the_specifications_own_example_comes_out_the_same():
    # https://github.com/standard-webhooks/standard-webhooks, spec: the library's own test vector
    secret = Secret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signed_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_secrets_rotate_receivers_with_either_are_served():
    both = headers(NEW, OLD)
    assert len(both["webhook-signature"].split(" ")) == 2
    for held in (OLD, NEW):
        Webhook(held).verify(BODY, both)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, both)


@pytest.mark.parametrize("change", [{"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(time.time()) - 1)}])
def test_id_and_time_are_signed_too(change):
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, headers(OLD) | change)


def test_without_a_secret_there_is_no_signature_to_trust():
    assert headers().keys() == {"webhook-id", "webhook-timestamp"}


@pytest.mark.parametrize("text", ["whsec_", "whsec_!!!", "short", "whsec_" + "YQ" * 4, "whsec_" + "YWFh" * 30])
def test_a_secret_of_another_form_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError) as refused:
        Secret.parse(text)
    assert text.removeprefix("whsec_") == "" or text not in str(refused.value)


def test_secrets_come_by_commas_and_are_never_shown():
    held = parse_secrets(f"{OLD}, {NEW},")
    assert len(held) == 2
    assert "key" not in repr(held) and OLD not in repr(held)
