"""ETA and view: pure functions of a record."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msaas.jobs import Job, State, iso
from msaas.queue.position import QueueAhead
from msaas.web.eta import eta_seconds
from msaas.web.view import job_view

PACE = {"seconds_per_job": 60.0, "seconds_per_audio_second": 0.5}


def job(state, **fields):
    return Job("00000000-0000-0000-0000-000000000001", state, **fields)


def eta(one, **known):
    return eta_seconds(one, **({"pace": PACE, "now": 1000.0} | known))


def test_a_done_job_takes_no_more_time_and_one_that_failed_has_none():
    assert eta(job(State.DONE)) == 0
    assert eta(job(State.FAILED)) is None
    assert eta(job(State.CANCELLED)) is None


def test_a_running_job_goes_on_at_its_own_speed():
    assert eta(job(State.RUNNING, progress=0.25, started_at=990.0)) == pytest.approx(30)
    assert eta(job(State.RUNNING, progress=0.25, started_at=990.0), pace={}) == pytest.approx(30)
    assert eta(job(State.RUNNING, progress=1.0, started_at=990.0)) == 0


def test_a_run_that_has_just_begun_is_judged_by_those_before_it():
    assert eta(job(State.RUNNING, progress=0.01, started_at=990.0, upload={"duration_seconds": 200})) == 90
    assert eta(job(State.RUNNING, progress=0.01, started_at=990.0)) == 50
    assert eta(job(State.RUNNING, progress=0.01, started_at=100.0)) == 0
    assert eta(job(State.RUNNING, progress=0.01, started_at=990.0), pace={}) is None


def test_passes_of_different_models_take_different_times():
    slow_kit = {"seconds_per_audio_second:htdemucs": 1.0, "seconds_per_audio_second:drumsep": 3.0}
    two = {"model": "htdemucs", "options": {"refine": {"drums": "drumsep"}}, "started_at": 900.0}
    assert eta(job(State.RUNNING, progress=0.5, **two), pace=slow_kit) == pytest.approx(300)  # a quarter took 100 s
    assert eta(job(State.RUNNING, progress=0.75, **two), pace=slow_kit) == pytest.approx(60)
    assert eta(job(State.RUNNING, progress=1.0, **two), pace=slow_kit) == 0
    assert eta(job(State.RUNNING, progress=0.5, **two), pace={}) == pytest.approx(100)


def lasting(seconds, state=State.QUEUED, **fields):
    return job(state, upload={"duration_seconds": seconds}, **fields)


def test_a_waiting_job_waits_for_those_ahead_by_their_own_lengths():
    waiting = lasting(100)
    assert eta(waiting) == 50
    assert eta(waiting, line=QueueAhead(ahead=[lasting(600), lasting(20)])) == 300 + 10 + 50
    assert eta(waiting, line=QueueAhead(ahead=[job(State.QUEUED)])) == 60 + 50  # of unknown length: the mean


def test_a_waiting_job_waits_for_what_runs_still_need():
    half = lasting(200, State.RUNNING, progress=0.5, started_at=960.0)  # 40 s of it done, 40 to come
    begun = lasting(100, State.RUNNING, progress=0.0, started_at=990.0)  # 50 s, 10 of them gone
    assert eta(lasting(100), line=QueueAhead(in_work=[half])) == 40 + 50
    assert eta(lasting(100), line=QueueAhead(in_work=[half, begun])) == 40 + 50
    assert eta(lasting(100), line=QueueAhead(in_work=[half, begun], ahead=[lasting(60)])) == 40 + 50


def test_a_worker_that_is_free_takes_the_next_song_at_once():
    busy = lasting(960, State.RUNNING, progress=0.0, started_at=1000.0)
    assert eta(lasting(100), line=QueueAhead(in_work=[busy]), workers=1) == 480 + 50
    assert eta(lasting(100), line=QueueAhead(in_work=[busy]), workers=2) == 50
    assert eta(lasting(100), line=QueueAhead(in_work=[busy], ahead=[lasting(200)]), workers=2) == 100 + 50


def test_beyond_the_look_the_mean_counts():
    assert eta(lasting(100), line=QueueAhead(ahead=[lasting(600)], more_ahead=10)) == 300 + 10 * 60 + 50
    assert eta(lasting(100), line=QueueAhead(ahead=[lasting(600)], more_ahead=10), workers=2) == 10 * 60 / 2 + 50
    assert eta(lasting(100), line=QueueAhead(more_in_work=4, more_ahead=8)) == 30 + 8 * 60 / 4 + 50


def test_behind_a_song_of_eight_minutes_its_own_minutes_are_told():
    eight_minutes = lasting(480, State.RUNNING, progress=0.1, started_at=1000.0 - 24)
    assert eta(lasting(6), line=QueueAhead(in_work=[eight_minutes]), workers=1) == pytest.approx(216 + 8 * 0.5)


def test_a_clip_counts_as_the_segment_that_it_takes():
    assert eta(lasting(0.02)) == eta(lasting(8)) == 4


def test_before_the_first_song_nobody_knows():
    assert eta(job(State.QUEUED), pace={}) is None


def test_a_clock_behind_redis_gives_no_negative_time():
    assert eta(job(State.RUNNING, progress=0.5, started_at=2000.0)) == 60
    assert eta(job(State.RUNNING, progress=0.01, started_at=2000.0)) == 60


@settings(deadline=None)
@given(
    st.sampled_from(State),
    st.floats(0, 1),
    st.none() | st.floats(0, 2e9),
    st.integers(0, 10**6),
    st.integers(0, 1000),
    st.floats(0, 2e9),
    st.none() | st.floats(0, 1e6),
)
def test_an_eta_is_never_negative(state, progress, started, ahead, in_work, now, duration):
    one = job(state, progress=progress, started_at=started, upload={"duration_seconds": duration})
    for pace in ({}, PACE, {"seconds_per_job": 60.0}):
        line = QueueAhead(
            in_work=[replace(one, state=State.RUNNING)], ahead=[one], more_in_work=in_work, more_ahead=ahead
        )
        found = eta(one, line=line, workers=in_work // 2, now=now, pace=pace)
        assert found is None or found >= 0


def test_the_warnings_of_a_job_that_is_done_are_told():
    warning = {"code": "cut_short", "detail": "The file has 2.00 seconds less audio than its header declares."}
    result = {"stems": {"vocals": "wav"}, "warnings": [warning | {"more": "of a later version"}]}
    assert job_view(job(State.DONE, result=result))["warnings"] == [warning]
    assert job_view(job(State.QUEUED, result=result))["warnings"] == []  # posted again: of the run before
    assert job_view(job(State.DONE, result={"stems": {"vocals": "wav"}}))["warnings"] == []


def test_the_model_is_the_one_that_ran():
    ran = {"stems": {"vocals": "mp3"}, "model": {"name": "htdemucs_mini", "sources": ["vocals"]}}
    assert job_view(job(State.DONE, model="htdemucs", result=ran))["model"] == "htdemucs_mini"
    assert job_view(job(State.QUEUED, model="htdemucs"))["model"] == "htdemucs"
    assert job_view(job(State.QUEUED))["model"] is None


def test_the_duration_is_the_decoded_one_once_it_is_known():
    assert job_view(job(State.QUEUED, upload={"duration_seconds": 3.0}))["duration_seconds"] == 3.0
    known = {"duration_seconds": 2.9}
    assert job_view(job(State.DONE, upload={"duration_seconds": 3.0}, result=known))["duration_seconds"] == 2.9


def test_times_are_utc_to_the_millisecond():
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1.5) == "1970-01-01T00:00:01.500Z"
    assert iso(None) is None
