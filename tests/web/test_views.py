"""ETA and view: pure functions of a record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msaas.jobs import Job, State, iso
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


def test_a_waiting_job_waits_for_those_ahead_and_for_half_of_what_is_in_work():
    waiting = job(State.QUEUED, upload={"duration_seconds": 100})
    assert eta(waiting, position=0, in_work=0) == 50
    assert eta(waiting, position=2, in_work=0) == 2 * 60 + 50
    assert eta(waiting, position=2, in_work=1) == 2.5 * 60 + 50
    assert eta(waiting, position=2, in_work=2) == 3 * 60 / 2 + 50


def test_before_the_first_song_nobody_knows():
    assert eta(job(State.QUEUED), position=0, pace={}) is None


def test_a_clock_behind_redis_gives_no_negative_time():
    assert eta(job(State.RUNNING, progress=0.5, started_at=2000.0)) == 60
    assert eta(job(State.RUNNING, progress=0.01, started_at=2000.0)) == 60


@settings(deadline=None)
@given(
    st.sampled_from(State),
    st.floats(0, 1),
    st.none() | st.floats(0, 2e9),
    st.none() | st.integers(0, 10**6),
    st.integers(0, 1000),
    st.floats(0, 2e9),
    st.none() | st.floats(0, 1e6),
)
def test_an_eta_is_never_negative(state, progress, started, position, in_work, now, duration):
    one = job(state, progress=progress, started_at=started, upload={"duration_seconds": duration})
    for pace in ({}, PACE, {"seconds_per_job": 60.0}):
        found = eta(one, position=position, in_work=in_work, now=now, pace=pace)
        assert found is None or found >= 0


def test_a_gain_of_all_stems_is_told():
    done = job(State.DONE, result={"stems": {"vocals": "wav"}, "gain": 0.8912})
    assert "0.8912" in job_view(done)["message"]
    assert "message" not in job_view(job(State.DONE, result={"stems": {"vocals": "wav"}, "gain": 1.0}))


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
