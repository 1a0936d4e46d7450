"""The short form of every row of docs/reliability.md; `make chaos` runs the full one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.parallel_rows import ParallelRows

pytestmark = pytest.mark.slow

Test = Callable[[dict[str, Any]], None]


def row(number: str) -> Callable[[Test], Test]:
    def mark(test: Test) -> Test:
        test.row = number  # type: ignore[attr-defined]
        return test

    return mark


@pytest.fixture(scope="module")
def parallel_rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParallelRows]:
    """Only the rows whose tests were chosen."""
    tests = [getattr(item, "function", None) for item in request.session.items]
    chosen = [test.row for test in tests if hasattr(test, "row")]
    parallel_rows = ParallelRows(tmp_path_factory.mktemp("chaos") / "rows", chosen)
    yield parallel_rows
    parallel_rows.close()


@pytest.fixture
def result(request: pytest.FixtureRequest, parallel_rows: ParallelRows) -> dict[str, Any]:
    return parallel_rows.result(request.function.row)


@row("1")
def test_killed_workers_lose_nothing_and_publish_nothing_twice(result):
    assert result["wrong"] == []


@row("2")
def test_a_kill_at_any_step_of_a_run_loses_nothing(result):
    assert result["wrong"] == []


@row("3")
def test_a_reaper_killed_in_mid_recovery_loses_nothing(result):
    assert result["wrong"] == []


@row("4")
def test_a_worker_stalled_past_its_lease_changes_no_record_when_it_wakes(result):
    assert result["wrong"] == []


@row("5")
def test_a_killed_valkey_loses_nothing_accepted_and_workers_resume_without_spinning(result):
    assert result["wrong"] == []


@row("6")
def test_a_redis_that_hangs_resets_and_cuts_replies_loses_nothing_and_gives_no_500(result):
    assert result["wrong"] == []


@row("7")
def test_an_object_store_that_fails_is_waited_for_and_no_partial_stem_is_served(result):
    assert result["wrong"] == []


@row("8")
def test_a_poison_song_runs_three_times_is_stated_dead_and_can_be_replayed(result):
    assert result["wrong"] == []


@row("9")
def test_a_stopping_worker_hands_its_job_over_uncharged_within_two_seconds(result):
    assert result["wrong"] == []


@row("10")
def test_a_healthy_job_runs_once_however_long_it_takes_on_a_busy_machine(result):
    assert result["wrong"] == []


@row("11")
def test_a_killed_workers_job_starts_again_within_its_lease_and_a_second(result):
    assert result["wrong"] == []


@row("12")
def test_fifty_posts_of_one_song_are_one_job(result):
    assert result["wrong"] == []


@row("13")
def test_a_song_stored_but_not_queued_is_completed_by_a_retry_or_swept(result):
    assert result["wrong"] == []


@row("14")
def test_a_cancel_at_any_moment_leaves_no_stems_and_nothing_stuck(result):
    assert result["wrong"] == []


@row("15")
def test_a_full_disk_or_store_is_a_stated_reason_and_the_worker_lives(result):
    assert result["wrong"] == []


@row("16")
def test_any_sequence_of_calls_agrees_with_a_model(result):
    assert result["wrong"] == []


@row("20")
def test_two_songs_in_flight_survive_the_kills_of_their_worker_and_of_their_process(result):
    assert result["wrong"] == []


@row("21")
def test_songs_beside_poison_and_cancelled_ones_are_not_charged(result):
    assert result["wrong"] == []
