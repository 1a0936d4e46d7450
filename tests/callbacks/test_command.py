"""`msaas callbacks`, as wired into the command: a parser of its own stands in for it."""

import argparse

import pytest
from standardwebhooks import Webhook

from msaas.callbacks.schedule import Verdict
from msaas.cli.operator import callbacks


@pytest.fixture
def msaas(monkeypatch, valkey, capsys):
    """Runs a command line; its exit status and what it printed."""
    monkeypatch.setenv("REDIS_HOST", valkey.address)

    def run(*words):
        parser = argparse.ArgumentParser()
        callbacks.add(parser.add_subparsers())
        args = parser.parse_args(["callbacks", *words])
        return args.run(args), capsys.readouterr().out

    return run


def test_what_failed_is_listed_and_sent_again(msaas, outbox, finished):
    songhash = finished("https://a.example/T0KEN")
    (one,) = outbox.take(1, limit=3)
    outbox.settle(one, Verdict("failed"), "answered 500")
    for words in ([], ["list"], ["list", "--job", songhash], ["list", "--state", "failed"], ["list", "--json"]):
        status, text = msaas(*words)
        assert status == 0 and one.id in text and "answered 500" in text and "T0KEN" not in text
    assert msaas("list", "--state", "delivered") == (0, "no delivered callbacks\n")
    assert msaas("list", "--state", "delivered", "--json") == (0, "")
    assert msaas("replay", one.id) == (0, f"{one.id}: pending\n")
    assert outbox.of(songhash)[0].state == "pending"


def test_all_that_failed_go_again_and_what_is_unknown_is_said(msaas, outbox, finished):
    finished("https://a.example/")
    (one,) = outbox.take(1, limit=3)
    outbox.settle(one, Verdict("failed"), "")
    assert msaas("replay", "--all", "failed") == (0, f"{one.id}: pending\n")
    assert msaas("replay", "--all", "failed") == (0, "no failed callbacks\n")
    status, text = msaas("replay", "msg_0", one.id)
    assert status == 1 and "msg_0: unknown callback" in text and f"{one.id}: pending" in text


def test_a_new_secret_is_one_that_receivers_can_use(msaas):
    _, text = msaas("secret")
    assert Webhook(text.strip())
