"""Every part that is up delivers: an API alone, and a worker alone, each started as it is in a cluster."""

import os
import subprocess
import sys

import pytest
from standardwebhooks import Webhook

from tests.callbacks.conftest import SECRET, until
from tests.support.receivers import answers


@pytest.mark.parametrize("part", ["msaas.web", pytest.param("msaas.worker", marks=pytest.mark.slow)])
def test_each_part_delivers_by_itself(part, environ, receiver, outbox, finished, storage):
    storage.ensure_buckets()
    listening = receiver(answers(200))
    songhash = finished(listening.url)
    given = {"MSAAS_CALLBACK_ALLOW": "127.0.0.0/8", "MSAAS_CALLBACK_SECRETS": SECRET, "MSAAS_GRACE_SECONDS": "0"}
    process = subprocess.Popen([sys.executable, "-m", part], env=os.environ | environ | given)
    try:
        assert until(outbox, songhash, "delivered", seconds=30).attempts == 1
    finally:
        process.terminate()
        assert process.wait(30) == 0
    (request,) = listening.requests
    assert Webhook(SECRET).verify(request.body, request.headers)["songhash"] == songhash
