"""Calls that are repeated: who learns of it, when, and with which reason."""

from __future__ import annotations

import itertools

import pytest
import requests

from msaas import cli
from msaas.cli.service import NOTICE_EVERY_SECONDS, RetryNotice
from msaas.client import Client, Unreachable
from msaas.client.transport import reason_of
from tests.support.models.standin import DONE, HASH, Answer, Api

NOWHERE = "http://127.0.0.1:9"


def test_a_client_is_told_why_each_call_is_repeated(api: Api) -> None:
    api.answers[f"/apiv1/jobs/{HASH}"] = ["drop", Answer(503, headers={"Retry-After": "7"}), Answer(body=DONE)]
    told: list[tuple[str, float]] = []
    with Client(api.url, sleep=lambda _: None, on_retry=lambda *why: told.append(why)) as client:
        assert client.job(HASH).done
    (dropped, _), (busy, seconds) = told
    assert dropped.startswith(f"{api.url} does not answer: ")
    assert (busy, seconds) == (f"{api.url}/apiv1/jobs/{HASH} answered 503 Service Unavailable", 7)


def test_the_reason_has_no_names_of_classes_nor_the_address_again() -> None:
    with pytest.raises(Unreachable) as error:
        Client(NOWHERE, retries=0).job(HASH)
    assert "refused" in str(error.value)
    assert "HTTPConnection" not in str(error.value)
    for text, reason in (
        ("HTTPConnectionPool(host='a', port=9): Read timed out. (read timeout=120)", "Read timed out. (read timeout"),
        ("<urllib3.connection.HTTPConnection object at 0x7f>: Failed to resolve 'a'", "Failed to resolve 'a'"),
        ("Connection to 10.1.1.1 timed out. (connect timeout=5)", "Connection to 10.1.1.1 timed out."),
    ):
        assert reason_of(requests.ConnectionError(text)).startswith(reason)


def notices(capsys: pytest.CaptureFixture[str], waits: list[tuple[float, str, float]]) -> list[str]:
    """The lines on standard error for (seconds since the last wait's end, reason, seconds)."""
    clock = itertools.accumulate(after for after, _, _ in waits)
    notice = RetryNotice(lambda: next(clock))
    for _, reason, seconds in waits:
        notice.show(reason, seconds)
    return capsys.readouterr().err.splitlines()


def test_a_short_wait_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert notices(capsys, [(0, "away", 0.25), (0.3, "away", 0.5), (600, "away", 0.25)]) == []


def test_a_longer_one_is_told_within_seconds_and_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    often = [(1.0, "away", 1.0)] * 20
    assert notices(capsys, often) == ["msaas: away; trying again"]
    later = [*often, (NOTICE_EVERY_SECONDS, "away", 1.0)]
    assert len(notices(capsys, later)) == 2


def test_a_long_wait_is_told_at_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    assert notices(capsys, [(0, "busy", 60.0)]) == ["msaas: busy; trying again"]


@pytest.mark.parametrize(
    "command",
    [["jobs"], ["jobs", "--mine"], ["cancel", HASH], ["share", HASH], ["batch", "show", HASH], ["separate", __file__]],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_command_of_one_call_ends_soon_without_a_service_and_says_how_to_start_one(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msaas.cli.service.NOTICE_AFTER_SECONDS", 60)  # a busy machine may take longer than usual
    assert cli.main([*command, "--url", NOWHERE]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"msaas: {NOWHERE} did not answer (tried 3 times): ")
    assert "; start one with `make serve` or `" in line
    local = "; --local separates on this machine without a service" if command[0] == "separate" else ""
    assert line.endswith(f" up`; --url or MSAAS_URL names another one{local}")
