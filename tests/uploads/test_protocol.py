"""The tus 1.0 protocol, request by request: core, creation, creation-with-upload, expiration, termination, checksum."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from tests.support.api import URL, problem
from tests.uploads.conftest import PATH, TUS, checksum, metadata


def test_options_tell_version_extensions_limit_and_checksums(client):
    answer = client.options(PATH)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    extensions = answer.headers["Tus-Extension"].split(",")
    assert extensions == ["creation", "creation-with-upload", "expiration", "termination", "checksum"]
    assert answer.headers["Tus-Max-Size"] == "200000000"
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"


def test_a_song_sent_in_parts_is_the_job_that_the_same_bytes_sent_at_once_are(tus, client, song, stored):
    url = tus.url(len(song), Upload_Metadata=metadata(filename="a song.wav"))
    for start in range(0, len(song), 1000):
        answer = tus.append(url, start, song[start : start + 1000])
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers["Upload-Offset"] == str(min(start + 1000, len(song)))
    submitted = tus.submit(url, stems=["vocals"])
    assert submitted.status_code == 202, submitted.text
    assert submitted.json["name"] == "a song"
    at_once = client.post(URL, query_string={"stems": "vocals"}, data=song, content_type="audio/wav")
    assert at_once.status_code == 200
    assert at_once.json["songhash"] == submitted.json["songhash"]
    assert stored() == []


def test_the_head_tells_offset_length_metadata_and_expiry(tus, song):
    given = metadata(filename="a song.wav", other="")
    url = tus.url(len(song), Upload_Metadata=given)
    tus.append(url, 0, song[:10])
    answer = tus.head(url)
    assert answer.status_code == 200
    assert answer.headers["Upload-Offset"] == "10"
    assert answer.headers["Upload-Length"] == str(len(song))
    assert answer.headers["Upload-Metadata"] == given
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert parsedate_to_datetime(answer.headers["Upload-Expires"])


def test_a_post_may_have_the_first_bytes_or_all(tus, song):
    first = tus.create(len(song), song[:100])
    assert (first.status_code, first.headers["Upload-Offset"]) == (201, "100")
    assert tus.offset(first.headers["Location"]) == 100
    whole = tus.create(len(song), song)
    assert whole.headers["Upload-Offset"] == str(len(song))
    assert tus.submit(whole.headers["Location"]).status_code == 202


def test_another_offset_is_a_conflict_that_changes_nothing(tus, song):
    url = tus.url(len(song))
    tus.append(url, 0, song[:100])
    for offset in (0, 99, 101, len(song)):
        answer = tus.append(url, offset, song[:5])
        problem(answer, 409, "offset_mismatch")
        assert answer.headers["Upload-Offset"] == "100"
    assert tus.offset(url) == 100


def test_bytes_without_their_checksum_are_discarded(tus, song):
    url = tus.url(len(song))
    answer = tus.append(url, 0, song[:100], Upload_Checksum=checksum(b"something else"))
    assert answer.status_code == 460
    assert answer.json["code"] == "checksum_mismatch"
    assert answer.json["title"] == "Checksum Mismatch"
    assert tus.offset(url) == 0
    for algorithm, start in (("sha1", 0), ("sha256", 100)):
        data = song[start : start + 100]
        assert tus.append(url, start, data, Upload_Checksum=checksum(data, algorithm)).status_code == 204
    assert tus.offset(url) == 200


@pytest.mark.parametrize(
    ("size", "pieces"), [(100, (100,)), (9_000_000, (9_000_000,)), (9_000_000, (10, 4_500_000, 4_499_990))]
)
def test_large_bodies_with_a_checksum_are_stored_whole(tus, size, pieces, uploads):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    url, start = tus.url(size), 0
    for length in pieces:
        piece = data[start : start + length]
        assert tus.append(url, start, piece, Upload_Checksum=checksum(piece, "sha256")).status_code == 204
        start += length
    assert b"".join(uploads.read(uploads.get(url.rpartition("/")[2]))) == data


def test_a_removed_upload_is_gone_with_its_bytes(tus, song, stored, redis):
    url = tus.url(len(song))
    tus.append(url, 0, song[:100])
    assert stored()
    assert tus.remove(url).status_code == 204
    assert stored() == []
    assert tus.head(url).status_code == 404
    problem(tus.append(url, 100, song[100:]), 404, "upload_unknown")
    problem(tus.remove(url), 404, "upload_unknown")
    problem(tus.submit(url), 404, "upload_unknown")
    assert [key for key in redis.keys("upload*") if redis.type(key) != "zset" or redis.zcard(key)] == []


@pytest.mark.parametrize("given", [None, "0.2.2", "1", "1.0.0, 2.0.0"])
def test_another_version_of_the_protocol_is_refused(tus, song, given):
    url = tus.url(10)
    for answer in (tus.create(10, Tus_Resumable=given), tus.append(url, 0, b"x", Tus_Resumable=given)):
        problem(answer, 412, "tus_version_unsupported")
        assert answer.headers["Tus-Version"] == "1.0.0"
    assert tus.head(url, Tus_Resumable=given).status_code == 412


def test_an_upload_with_bytes_missing_is_not_submitted(tus, song):
    url = tus.url(len(song))
    tus.append(url, 0, song[:100])
    problem(tus.submit(url), 409, "upload_incomplete")
    tus.append(url, 100, song[100:])
    assert tus.submit(url).status_code == 202


def test_a_submission_that_is_repeated_gets_the_same_job(tus, song, stored):
    """The answer of the first one may have been lost, and the chunks are deleted then."""
    url = tus.create(len(song), song).headers["Location"]
    first, again, other = tus.submit(url), tus.submit(url), tus.submit(url, stems=["drums"])
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 202)
    assert first.json["songhash"] == again.json["songhash"] != other.json["songhash"]
    assert stored() == []


def test_an_idempotency_key_replays_a_submission_even_after_the_upload_is_removed(tus, client, song):
    url = tus.create(len(song), song).headers["Location"]
    body, headers = {"upload": url.rpartition("/")[2]}, {"Idempotency-Key": "one"}
    first = client.post(URL, json=body, headers=headers)
    assert tus.remove(url).status_code == 204
    again = client.post(URL, json=body, headers=headers)
    assert (again.status_code, again.data, again.headers["Idempotency-Replayed"]) == (202, first.data, "true")


def test_a_refused_option_leaves_the_upload_as_it_is(tus, song):
    url = tus.create(len(song), song).headers["Location"]
    problem(tus.submit(url, stems=["kazoo"], bitrate=1), 422, "invalid_option")
    assert tus.submit(url).status_code == 202


def test_an_empty_upload_is_no_song(tus, queue):
    problem(tus.submit(tus.url(0)), 400, "empty_file")
    assert queue.counts().waiting == 0


def test_only_one_of_song_address_and_upload_is_accepted(tus, client, song):
    url = tus.create(len(song), song).headers["Location"].rpartition("/")[2]
    for more in ({"url": "https://example.org/x"}, {"mp3": "AAAA"}):
        problem(client.post(URL, json={"upload": url, **more}), 400, "bad_json")
    problem(client.post(URL, json={"upload": 7}), 422, "invalid_option")
    assert tus.offset(f"{PATH}/{url}") == len(song), "the upload is as it was"


def test_pages_of_allowed_origins_may_use_every_header(make_app):
    client = make_app(cors_origins=frozenset({"https://music.example"})).test_client()
    origin = {"Origin": "https://music.example"}
    preflight = client.options(f"{PATH}/x", headers=origin | {"Access-Control-Request-Method": "PATCH"})
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    for name in ("Tus-Resumable", "Upload-Length", "Upload-Offset", "Upload-Metadata", "Upload-Checksum"):
        assert name in allowed
    created = client.post(PATH, headers=origin | TUS | {"Upload-Length": "5"})
    for name in ("Location", "Upload-Offset", "Upload-Expires", "Tus-Resumable"):
        assert name in created.headers["Access-Control-Expose-Headers"]
