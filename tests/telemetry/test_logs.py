"""Log lines: no key and no secret in them, whoever wrote the line."""

from __future__ import annotations

import io
import json
import logging

import pytest

from msaas.auth.keys import new_key
from msaas.callbacks.signing import new_secret
from msaas.telemetry.log_shipping import LogShipper
from msaas.telemetry.logs import FORMAT, RedactingFormatter, redacted

KEY = new_key("anna", ["use"])[0]
SECRET = new_secret()
LINES = [
    f"Invalid HTTP request line: 'GET /apiv1/track/x-{KEY} HTTP/1.1'",
    f"GET '/apiv1/models?x=Bearer%20{KEY}' status=400",
    f"unknown method {KEY}",
    f"Authorization: Bearer {KEY.removeprefix('msaas_')}",
    f"callback refused to=https://{KEY}.example:443",
    f"X-Anything: {KEY.replace('_', '%5F', 1)}",
    f"MSAAS_CALLBACK_SECRETS={SECRET}",
]
HIDDEN = (KEY.removeprefix("msaas_"), SECRET.removeprefix("whsec_"))


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))  # the keys are drawn: no names for tests
def test_a_secret_is_cut_out_of_a_line(line):
    assert "(hidden)" in redacted(line)
    assert not any(secret in redacted(line) for secret in HIDDEN)


def test_what_is_no_secret_stays():
    for line in (
        "submitted job=00000000-0000-5000-8000-000000000001 new=True",
        "msaas_requests_refused_total 3",
        "Bearer",
    ):
        assert redacted(line) == line


def test_neither_stderr_nor_the_channel_gets_a_secret_in_a_message_or_a_traceback():
    stream, published = io.StringIO(), []
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RedactingFormatter(FORMAT))
    shipper = LogShipper(published.append, "rest")
    logger = logging.getLogger("tests.library")
    logger.addHandler(handler)
    logger.addHandler(shipper)
    try:
        raise ValueError(LINES[0])
    except ValueError:
        logger.exception("refused %s", KEY)
    shipper.close()
    (line,) = map(json.loads, published)
    assert "Traceback" in line["traceback"] and "Traceback" in stream.getvalue()
    for text in (stream.getvalue(), *published):
        assert "(hidden)" in text
        assert not any(secret in text for secret in HIDDEN)
