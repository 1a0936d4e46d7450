"""What follows an attempt: pure."""

from datetime import UTC, datetime

import pytest

from msaas.callbacks.schedule import DELAYS_SECONDS, MAX_WAIT_SECONDS, AttemptOutcome, judge

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def judged(outcome, attempt=1, random=0.0):
    return judge(outcome, attempt, random=lambda: random, now=NOW)


def test_the_schedule_is_the_one_that_is_documented():
    hours = [0, 5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert list(DELAYS_SECONDS) == pytest.approx([hour * 3600 for hour in hours])


def test_each_failure_waits_longer_and_the_tenth_ends_it():
    waits = [judged(AttemptOutcome(500), attempt).wait_seconds for attempt in range(1, 10)]
    assert waits == list(DELAYS_SECONDS[1:])
    assert judged(AttemptOutcome(500), 10).state == "failed"
    assert judged(AttemptOutcome(500), 99).state == "failed"


def test_jitter_only_ever_delays():
    assert judged(AttemptOutcome(500), 2, random=0.999).wait_seconds == pytest.approx(300 * 1.2, rel=0.01)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status):
    assert judged(AttemptOutcome(status)).state == "delivered"


@pytest.mark.parametrize("status", [None, 101, 199, 300, 301, 302, 307, 308, 304, 400, 401, 404, 429, 500, 503, 599])
def test_nothing_else_is(status):
    assert judged(AttemptOutcome(status)).state == "pending"


def test_gone_ends_it_at_once_and_so_does_a_refused_address():
    assert judged(AttemptOutcome(410)).state == "failed"
    assert judged(AttemptOutcome(refused=True)).state == "refused"


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120),
        ("1", 5),  # sooner than the schedule has it
        ("Sun, 01 Nov 2026 12:10:00 GMT", 600),
        ("Sun, 01 Nov 2026 12:10:00", 600),
        ("Sun, 01 Nov 2020 12:10:00 GMT", 5),
        ("99999999999999999999", MAX_WAIT_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_SECONDS),
        ("-5", 5),
        ("soon", 5),
        ("١٢٠", 5),
        ("", 5),
        ("nan", 5),
        ("0, 01 Foo 2026", 5),
        (None, 5),
    ],
)
def test_retry_after_is_obeyed_within_bounds(header, wait):
    assert judged(AttemptOutcome(429, retry_after=header)).wait_seconds == wait
