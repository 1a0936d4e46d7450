"""Jobs that end, callbacks posted for them, and senders whose schedule takes milliseconds."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest

from msaas.callbacks.outbox import Callback, CallbackRequest, Outbox
from msaas.callbacks.sender import HttpPost, Sender
from msaas.outbound.targets import Target
from msaas.queue import NO_CALLBACK
from tests.support.receivers import HOME, Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's example
STEMS = {"vocals": "mp3", "drums": "mp3"}
ENDED = {"state": "done", "result": json.dumps({"stems": STEMS}), "created_ms": "1000", "started_ms": "3000"}
DELAYS = (0.0, 0.05, 0.05, 0.05)


def a_callback(url, data="null", **changes):
    """One as `take` hands it over."""
    plain = Callback(
        id="msg_1", songhash=str(uuid.uuid4()), state="pending", origin="", attempts=1, url=url, data=data,
        snapshot={**ENDED, "finished_ms": "9000"},
    )  # fmt: skip
    return replace(plain, **changes)


def until(outbox, songhash, state, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        (one,) = outbox.of(songhash)
        if one.state == state:
            return one
        time.sleep(0.02)
    raise AssertionError(f"{one} after {seconds} s, not {state}")


@pytest.fixture
def receiver():
    """Starts receivers; `receiver(behave)`."""
    with ExitStack() as started:
        yield lambda behave, **how: started.enter_context(Receiver(behave, **how))


@pytest.fixture
def post():
    """One attempt as at home: loopback is open, and a busy machine has time to answer."""
    return partial(HttpPost, policy=HOME, attempt_seconds=60)


@pytest.fixture
def outbox(redis):
    return Outbox(redis, lease_seconds=2)


@pytest.fixture
def submitted(queue) -> Callable[..., str]:
    """Submits a job with callbacks to these URLs."""

    def submit(*urls, data=None, songhash=""):
        songhash = songhash or str(uuid.uuid4())
        for url in urls or [None]:
            posting = CallbackRequest.new(Target.parse(url), url, data) if url else None
            queue.submit(songhash, {"model": "htdemucs"}, callback=posting.args if posting else NO_CALLBACK)
        return songhash

    return submit


@pytest.fixture
def finished(queue, submitted) -> Callable[..., str]:
    """The same, and the job is done."""

    def finish(*urls, data=None):
        songhash = submitted(*urls, data=data)
        claim = queue.claim("tester")
        assert claim.songhash == songhash
        assert queue.finish(claim, {"stems": STEMS}, 1.0)
        return songhash

    return finish


@pytest.fixture
def sender(outbox, post):
    """Starts senders; `sender(secrets=…)`. All are stopped at the end."""
    started = []

    def start(*, outbox=outbox, attempt=None, **how):
        quick = {"every_seconds": 0.02, "delays": DELAYS, "random": lambda: 0.0}
        one = Sender(outbox, attempt or post(), **quick | how)
        one.start()
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()
