"""Fields of a record that cannot be read have their defaults and are named; nothing raises."""

from __future__ import annotations

import pytest

from msaas.fields import Fields, json_object
from msaas.jobs import Job, State, iso

INVALID = (
    "abc",
    "nan",
    "inf",
    "-inf",
    "-1",
    "1e400",
    "9" * 5000,
    "{",
    "[" * 9999,
    '{"a": NaN}',
    '{"a": 1e999}',
    "²",
)
NUMBERS = ("attempts", "fence", "created_ms", "started_ms", "finished_ms", "progress")


@pytest.mark.parametrize("name", [*NUMBERS, "options", "error", "result", "upload", "state"])
def test_a_field_of_nonsense_is_named_and_has_its_default(name):
    for text in INVALID:
        job = Job.from_hash("song", {"state": "done", name: text})
        assert name in job.broken, (name, text)
        assert job.state is (State.FAILED if name == "state" else State.DONE)
        assert (job.attempts, job.fence, job.progress, job.created_at, job.options) == (0, 0, 0, None, None)


def test_a_time_past_the_calendar_is_none():
    assert Job.from_hash("song", {"created_ms": "253402300800000"}).created_at is None
    assert iso(Job.from_hash("song", {"created_ms": "253402300799000"}).created_at) == "9999-12-31T23:59:59.000Z"


def test_members_of_another_type_count_as_missing():
    result = (
        '{"stems": {"vocals": 3, "drums": "mp3", "../x": "mp3"}, "timings": {"total": "x"}, "duration_seconds": []}'
    )
    job = Job.from_hash("song", {"state": "done", "result": result, "upload": '{"duration_seconds": 4}'})
    assert (dict(job.stem_extensions), job.timings, job.duration_seconds) == ({"drums": "mp3"}, {}, 4)


def test_warnings_of_another_shape_are_left_out():
    for text in ("true", "7", '"x"', "[1, null]", '{"code": "gaps"}', '[{"code": 1}, {"detail": "no code"}]'):
        job = Job.from_hash("song", {"state": "done", "result": f'{{"warnings": {text}}}'})
        assert job.warnings == [], text
    kept = Job.from_hash("song", {"state": "done", "result": '{"warnings": [3, {"code": "gaps", "detail": 4}]}'})
    assert kept.warnings == [{"code": "gaps", "detail": "4"}]


def test_an_error_whose_code_reads_like_none_is_an_internal_one():
    for code in ("null", '"No such code"', "[1]", '""', f'"{"x" * 100}"'):
        job = Job.from_hash("song", {"state": "failed", "error": f'{{"code": {code}, "detail": "why"}}'})
        assert job.reason == {"code": "internal_error", "detail": "why"}
    assert Job.from_hash("song", {"state": "queued", "error": '{"code": "boom"}'}).reason is None


def test_options_of_another_shape_are_not_shown():
    for text in ('{"bitrate": true}', '{"model": 3}', '{"stems": "vocals"}', '{"format": "exe"}', '{"two_stems": []}'):
        assert Job.from_hash("song", {"options": text}).known_options is None, text
    shown = Job.from_hash("song", {"model": "m", "options": '{"format": "flac", "extra": 1}'}).known_options
    given = {"model": "m", "stems": None, "two_stems": None, "format": "flac", "bitrate": 320}
    assert shown == given | {
        **{"overlap": None, "shifts": 0, "refine": {}},
        **{"sample_rate": None, "bit_depth": None, "mono": False, "start": None, "end": None},
    }


def test_json_nested_deeper_than_records_are_is_refused():
    text = '{"a":' * 900 + "1" + "}" * 900
    with pytest.raises(ValueError, match="deeply"):
        json_object(text)
    assert Job.from_hash("song", {"result": text}).broken == ("result",)


def test_json_that_cannot_be_written_again_is_refused():
    for text in ('{"a": "\\ud800"}', '{"a": -Infinity}', "[]", "3"):
        with pytest.raises(ValueError):
            json_object(text)


def test_what_can_be_read_is_not_named():
    fields = Fields({"n": "7", "share": "0.25", "json": '{"a": "\\u00e9"}', "at_ms": "1500"})
    found = (fields.count("n"), fields.share("share"), fields.mapping("json"), fields.seconds("at_ms"))
    assert found == (7, 0.25, {"a": "é"}, 1.5)
    assert fields.broken == []
