"""Stems over HTTP: which object a name stands for, ranges, conditions, removal."""

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from werkzeug.http import http_date

from msaas.errors import StorageUnavailable
from tests.support.api import NOBODY, RAW, STEMS, URL, Player, problem


def track(name, stem="vocals"):
    return f"/apiv1/track/{name}-{stem}"


# --- the bytes


def test_each_stem_comes_with_and_without_its_extension(client, done):
    for stem, path in product(STEMS, ("{0}-{1}", "{0}-{1}.mp3", "{2}-{1}")):
        path = "/apiv1/track/" + path.format(done, stem, done.upper())
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.data == Player.content(stem)
        assert answer.content_type == "audio/mpeg"
        assert answer.content_length == len(answer.data)
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{done}-{stem}.mp3"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["ETag"] and answer.last_modified


@pytest.mark.parametrize(("extension", "kind"), [("flac", "audio/flac"), ("wav", "audio/wav")])
def test_a_stem_without_extension_comes_in_its_jobs_format(client, player, song, extension, kind):
    name = client.post(f"{URL}?format={extension}", data=song, **RAW).json["songhash"]
    player.work(extension=extension)
    assert client.get(track(name)).content_type == kind
    detail = problem(client.get(track(name, "vocals.mp3")), 404, "stem_unknown")
    assert f"vocals.{extension}" in detail


def test_head_tells_all_that_get_tells_but_sends_nothing(client, done):
    got, told = client.get(track(done)), client.head(track(done))
    assert told.status_code == 200
    assert told.data == b""
    for header in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Content-Disposition", "Accept-Ranges"):
        assert told.headers[header] == got.headers[header]


def test_a_large_stem_is_streamed_in_pieces(client, player, done):
    content = bytes(range(256)) * 8000  # 2 MB
    player.put(f"{done}-vocals.mp3", content)
    answer = client.get(track(done), buffered=False)
    pieces = list(answer.iter_encoded())
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 256 * 1024


# --- ranges


RANGES = [
    ("bytes=0-0", 0, 0),
    ("bytes=0-99", 0, 99),
    ("bytes=100-", 100, 10_999),
    ("bytes=-5", 10_995, 10_999),
    ("bytes=-999999", 0, 10_999),
    ("bytes=10-999999", 10, 10_999),
    ("bytes=10999-10999", 10_999, 10_999),
    ("BYTES=1-2", 1, 2),
]
WHOLES = ["bytes=5-1", "bytes=x-y", "seconds=1-2", "bytes=0-1,5-6", "bytes", "bytes=--1", ""]


def test_a_range_gives_just_those_bytes(client, done):
    content = Player.content("vocals")
    assert len(content) == 11_000
    for asked, first, last in RANGES:
        answer = client.get(track(done), headers={"Range": asked})
        assert answer.status_code == 206, asked
        assert answer.data == content[first : last + 1]
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/11000"
        assert answer.content_length == last - first + 1
        told = client.head(track(done), headers={"Range": asked})
        assert (told.status_code, told.headers["Content-Range"]) == (206, answer.headers["Content-Range"])


def test_a_range_outside_is_a_416_that_tells_the_size(client, done):
    for asked in ("bytes=11000-", "bytes=99999-100000"):
        answer = client.get(track(done), headers={"Range": asked})
        problem(answer, 416, "requested_range_not_satisfiable")
        assert answer.headers["Content-Range"] == "bytes */11000"


def test_what_is_no_single_byte_range_gets_the_whole(client, done):
    for asked in WHOLES:
        answer = client.get(track(done), headers={"Range": asked})
        assert (answer.status_code, answer.data) == (200, Player.content("vocals")), asked


def test_if_range_gives_the_range_of_the_same_object_only(client, done):
    whole = client.get(track(done))
    etag, date = whole.headers["ETag"], whole.headers["Last-Modified"]
    earlier = http_date(whole.last_modified - timedelta(seconds=1))
    for condition, status in [(etag, 206), ('"other"', 200), (f"W/{etag}", 200), (date, 206), (earlier, 200)]:
        answer = client.get(track(done), headers={"Range": "bytes=0-9", "If-Range": condition})
        assert answer.status_code == status, condition
        assert len(answer.data) == (10 if status == 206 else 11_000)


# --- conditions


def test_what_the_caller_has_already_is_not_sent_again(client, done):
    whole = client.get(track(done))
    same = client.get(track(done), headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["ETag"] == whole.headers["ETag"]
    assert client.get(track(done), headers={"If-None-Match": "*"}).status_code == 304
    assert client.get(track(done), headers={"If-None-Match": '"other"'}).status_code == 200
    later = http_date(datetime.now(UTC) + timedelta(hours=1))
    assert client.get(track(done), headers={"If-Modified-Since": later}).status_code == 304
    assert client.get(track(done), headers={"If-Modified-Since": http_date(0)}).status_code == 200


# --- what is not there


def test_a_404_says_whether_the_job_is_unknown_unfinished_or_has_no_such_stem(client, queue, player, song):
    assert NOBODY in problem(client.get(track(NOBODY)), 404, "job_unknown")
    name = client.post(URL, data=song, **RAW).json["songhash"]
    problem(client.get(track(name)), 404, "job_not_done")
    claim = queue.claim("w")
    queue.renew(claim, {"progress": "0.42", "stage": "separating"})
    answer = client.get(track(name))
    assert "42%" in problem(answer, 404, "job_not_done")
    body = answer.get_json(force=True)
    assert (body["state"], body["progress"]) == ("running", 0.42)
    queue.release(claim)
    player.work()
    answer = client.get(track(name, "piano"))
    assert "vocals" in problem(answer, 404, "stem_unknown")
    assert "vocals.mp3" in answer.get_json(force=True)["stems"]


def test_stems_of_a_job_that_failed_are_not_handed_out(client, queue, player, song):
    name = client.post(URL, data=song, **RAW).json["songhash"]
    player.put(f"{name}-vocals.mp3", b"half")
    queue.fail(queue.claim("w"), {"code": "x", "detail": "y"}, retry=False)
    assert "failed" in problem(client.get(track(name)), 404, "job_not_done")


def test_a_removed_track_says_so(client, done):
    client.delete(f"/apiv1/remove/{done}-drums")
    problem(client.get(track(done, "drums")), 404, "track_removed")
    assert client.get(track(done, "bass")).status_code == 200


@pytest.mark.parametrize("extension", ["mp3", "flac", "wav"])
def test_yesterdays_stems_are_served_where_no_record_is_left(client, redis, player, extension):
    player.put(f"{NOBODY}-vocals.{extension}", b"old stem")
    redis.flushall()
    assert client.get(track(NOBODY)).data == b"old stem"
    assert client.get(track(NOBODY, f"vocals.{extension}")).data == b"old stem"
    assert f"vocals.{extension}" in problem(client.get(track(NOBODY, "bass")), 404, "stem_unknown")


NO_TRACKS = [
    "vocals",
    "x-vocals",
    NOBODY,
    f"{NOBODY}-",
    f"{NOBODY}-Vocals",
    f"{NOBODY}-vocals.a.ogg",
    f"{NOBODY}-vocals.mp3.mp3",
    f"{NOBODY}-%2e%2e",
    f"{NOBODY}-vocals%00",
    f"{NOBODY}-vocals%0a",
    "..%2f..%2fetc%2fpasswd",
    "%ff",
    f"{NOBODY}-" + "x" * 5000,
]


@pytest.mark.parametrize("call", ["track", "remove"])
def test_no_other_name_ever_reaches_storage(make_app, call):
    app = make_app()
    app.extensions["msaas"].storage = None
    client = app.test_client()
    for name in NO_TRACKS:
        answer = (client.get if call == "track" else client.delete)(f"/apiv1/{call}/{name}")
        assert answer.status_code == 404, name
        assert answer.content_type == "application/problem+json"


def test_storage_that_fails_at_the_first_byte_is_a_503_not_a_broken_stream(make_app, done, monkeypatch):
    app = make_app()
    storage = app.extensions["msaas"].storage

    def away(*_):
        raise StorageUnavailable("gone for tea")
        yield b""

    monkeypatch.setattr(storage, "read_stem", away)
    answer = app.test_client().get(track(done))
    problem(answer, 503, "storage_unavailable")
    assert answer.headers["Retry-After"]


# --- removing


@pytest.mark.parametrize("suffix", ["", ".mp3"])
def test_a_track_is_removed_with_or_without_extension_once(client, storage, done, suffix):
    answer = client.delete(f"/apiv1/remove/{done}-other{suffix}")
    assert answer.status_code == 200
    assert f"{done}-other.mp3" in answer.json["message"]
    assert storage.stat_stem(f"{done}-other.mp3") is None
    assert len(storage.stems_of(done)) == 3
    problem(client.delete(f"/apiv1/remove/{done}-other{suffix}"), 404, "track_unknown")


def test_the_job_says_which_of_its_stems_were_removed(client, done):
    for stem in ("other", "vocals"):
        client.delete(f"/apiv1/remove/{done}-{stem}")
    view = client.get(f"/apiv1/jobs/{done}").json
    assert sorted(view["removed"]) == ["other", "vocals"]
    assert view["message"].startswith("Removed: ")
    assert view["message"].endswith("; post the song again to recreate the stems.")
    assert view["stems"].keys() >= {"other", "vocals"}  # as before: their links answer 404
    for stem in ("bass", "drums"):
        client.delete(f"/apiv1/remove/{done}-{stem}")
    view = client.get(f"/apiv1/jobs/{done}").json
    assert view["message"] == "The stems were removed; post the song again to recreate them."


def test_stems_that_were_put_back_are_no_longer_said_to_be_removed(client, storage, player, done, song):
    client.delete(f"/apiv1/remove/{done}-other")
    player.put(f"{done}-other.mp3", b"from a copy of the bucket")
    assert client.post(URL, data=song, **RAW).status_code == 200
    assert "removed" not in client.get(f"/apiv1/jobs/{done}").json


def test_another_extension_removes_nothing(client, storage, done):
    problem(client.delete(f"/apiv1/remove/{done}-other.wav"), 404, "track_unknown")
    assert len(storage.stems_of(done)) == 4


def test_the_seeds_get_on_remove_is_a_405_that_names_delete(client, done):
    answer = client.get(f"/apiv1/remove/{done}-other")
    problem(answer, 405, "method_not_allowed")
    assert "DELETE" in answer.headers["Allow"]


def test_no_connection_to_storage_is_kept_by_a_client_that_stops_reading(client, player, done):
    player.put(f"{done}-vocals.mp3", bytes(2_000_000))
    storage = player.storage
    closed = []
    original = storage.read_stem

    def watched(*args):
        try:
            yield from original(*args)
        finally:
            closed.append(args)

    storage.read_stem = watched
    answer = client.get(track(done), buffered=False)
    next(answer.iter_encoded())
    answer.close()
    assert len(closed) == 1
    assert Path(closed[0][0]).suffix == ".mp3"
