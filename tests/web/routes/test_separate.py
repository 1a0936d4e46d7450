"""POST /apiv1/separate: what becomes a job, what does not, and what the caller is told."""

import errno
import io
import json
import threading

import pytest

from msaas.errors import AudioTooLong, NotAudio
from msaas.jobs import State
from msaas.storage import INPUTS
from msaas.web.routes.separate import MESSAGE
from msaas.web.uploads import spool
from tests.support.api import RAW, URL, as_base64, nothing_is_left, problem, song_bytes

# --- a song in


@pytest.mark.parametrize(
    "post",
    [
        lambda client, song: client.post(URL, data=song, **RAW),
        lambda client, song: client.post(URL, data=song, content_type="application/octet-stream"),
        lambda client, song: client.post(URL, data=song, content_type="video/mp4"),
        lambda client, song: client.post(URL, data=song),
        lambda client, song: client.post(URL, json={"mp3": as_base64(song)}),
        lambda client, song: client.post(
            URL, data=json.dumps({"mp3": as_base64(song)}), content_type="application/vnd.api+json; charset=utf-8"
        ),
        lambda client, song: client.post(URL, data={"file": (io.BytesIO(song), "../../etc/passwd")}),
    ],
    ids=["audio", "octet-stream", "video", "no type", "json", "other json", "multipart"],
)
def test_each_body_type_makes_the_same_job(client, queue, storage, song, scratch, tmp_path_factory, post):
    answer = post(client, song)
    assert answer.status_code == 202, answer.text
    name = answer.json["songhash"]
    assert answer.json["message"] == MESSAGE == "File uploaded to MinIO and task queued for processing"
    assert answer.json["state"] == "queued"
    assert answer.headers["Location"] == answer.json["links"]["job"] == f"/apiv1/jobs/{name}"
    assert queue.waiting() == [name]
    stored = tmp_path_factory.mktemp("stored") / "song"
    storage.fetch_input(name, stored)
    assert stored.read_bytes() == song
    assert not list(scratch.glob("msaas-*"))
    assert client.post(URL, data=song, **RAW).json["songhash"] == name


def test_the_record_keeps_the_options_and_what_the_upload_is(client, queue, song):
    answer = client.post(f"{URL}?two_stems=vocals&format=flac", data=song, **RAW)
    job = queue.get(answer.json["songhash"])
    assert job.state is State.QUEUED
    assert job.model == "htdemucs_mini"
    assert job.options == {
        "model": "htdemucs_mini",
        "stems": None,
        "two_stems": "vocals",
        "format": "flac",
        "bitrate": None,
    }
    assert job.upload["bytes"] == len(song)
    assert job.upload["duration_seconds"] == 0.2


@pytest.mark.parametrize(
    "post",
    [
        lambda client, song: client.post(f"{URL}?stems=drums,vocals&bitrate=128", data=song, **RAW),
        lambda client, song: client.post(f"{URL}?stems=vocals&stems=drums&bitrate=128", data=song, **RAW),
        lambda client, song: client.post(
            URL, json={"stems": ["vocals", "drums"], "mp3": as_base64(song), "bitrate": 128}
        ),
        lambda client, song: client.post(
            URL, data={"stems": ["drums", "vocals"], "bitrate": "128", "file": (io.BytesIO(song), "s")}
        ),
    ],
    ids=["commas", "repeated", "json", "form"],
)
def test_options_mean_the_same_in_each_body_type(client, queue, song, post):
    options = queue.get(post(client, song).json["songhash"]).options
    assert options["stems"] == ["drums", "vocals"]
    assert options["bitrate"] == 128


# --- a song again


def test_a_song_that_waits_is_known_and_not_stored_again(client, queue, storage, song):
    first = client.post(URL, data=song, **RAW)
    before = [item.modified for item in storage.names(INPUTS)]
    second = client.post(URL, data=song, **RAW)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json | {"known": True} == second.json
    assert queue.counts().waiting == 1
    assert [item.modified for item in storage.names(INPUTS)] == before


def test_a_song_in_work_is_known(client, queue, song):
    client.post(URL, data=song, **RAW)
    queue.claim("w")
    again = client.post(URL, data=song, **RAW)
    assert (again.status_code, again.json["state"]) == (200, "running")
    assert queue.counts().waiting == 0


def test_a_done_song_is_answered_without_being_looked_at_again(make_app, client, done, song):
    def refuse(path):
        raise AssertionError("probed")

    again = make_app(probe=refuse).test_client().post(URL, data=song, **RAW)
    assert (again.status_code, again.json["state"], again.json["message"]) == (200, "done", MESSAGE)
    assert again.json["songhash"] == done


def test_a_done_song_whose_stem_was_removed_is_queued_again(client, queue, done, song):
    assert client.delete(f"/apiv1/remove/{done}-bass").status_code == 200
    again = client.post(URL, data=song, **RAW)
    assert (again.status_code, again.json["state"]) == (202, "queued")
    assert queue.waiting() == [done]


def test_a_failed_song_is_queued_again(client, queue, song):
    client.post(URL, data=song, **RAW)
    queue.fail(queue.claim("w"), {"code": "x", "detail": "y"}, retry=False)
    again = client.post(URL, data=song, **RAW)
    assert (again.status_code, again.json["state"]) == (202, "queued")


def test_a_waiting_song_whose_upload_was_deleted_is_stored_again(client, storage, song):
    name = client.post(URL, data=song, **RAW).json["songhash"]
    storage.empty()
    assert client.post(URL, data=song, **RAW).status_code == 200
    assert storage.has_input(name)


def test_a_waiting_song_whose_list_entry_was_deleted_is_queued_again(client, redis, queue, song):
    name = client.post(URL, data=song, **RAW).json["songhash"]
    redis.delete("toWorkers")
    assert client.post(URL, data=song, **RAW).status_code == 202
    assert queue.waiting() == [name]


def test_twelve_clients_with_one_song_make_one_job(make_app, queue, song):
    app, answers = make_app(), []

    def post():
        answers.append(app.test_client().post(URL, data=song, **RAW))

    threads = [threading.Thread(target=post) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [202]
    assert queue.counts().waiting == 1


def test_buckets_are_made_when_they_are_first_needed(client, storage, song):
    for bucket in ("input-tracks", "output-tracks"):
        storage.client.remove_bucket(bucket)
    assert client.post(URL, data=song, **RAW).status_code == 202
    assert [item.name[-4:] for item in storage.names(INPUTS)] == [".mp3"]


# --- a body that is none


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        (b"song", "bad_json", "JSON"),
        (b'["mp3"]', "bad_json", "object"),
        (b'{"file": "QUJD"}', "missing_mp3", "mp3"),
        (b'{"mp3": "not base64"}', "bad_base64", "mp3"),
        (b'{"mp3": "QUJ"}', "bad_base64", "mp3"),
        (b'{"mp3": ""}', "empty_file", "empty"),
        (b"", "bad_json", "JSON"),
    ],
)
def test_bad_json_bodies_are_refused_by_name(client, queue, storage, scratch, body, code, names):
    assert names in problem(client.post(URL, data=body, content_type="application/json"), 400, code)
    assert nothing_is_left(queue, storage, scratch)


def test_an_empty_file_is_refused_in_each_body_type(client):
    problem(client.post(URL, data=b"", **RAW), 400, "empty_file")
    problem(client.post(URL, data={"file": (io.BytesIO(b""), "s.mp3")}), 400, "empty_file")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "image/png", "application/xml"])
def test_any_other_type_is_refused_with_a_way_to_call_it(client, kind):
    detail = problem(client.post(URL, data=b'{"mp3": "QUJD"}', content_type=kind), 415, "unsupported_body")
    assert "curl" in detail and "/apiv1/separate" in detail


def test_a_compressed_body_is_refused(client):
    answer = client.post(URL, data=b"x", headers={"Content-Encoding": "gzip"}, **RAW)
    assert "Content-Encoding" in problem(answer, 415, "unsupported_body")


@pytest.mark.parametrize(
    ("form", "status", "code", "names"),
    [
        ({}, 400, "missing_file", "file"),
        ({"model": "htdemucs_mini"}, 400, "missing_file", "file"),
        ({"modell": "htdemucs_mini"}, 422, "invalid_option", "modell"),
        ({"url": "https://example.org/a.mp3"}, 422, "invalid_option", "a member of a JSON body"),
        ({"file": "text"}, 400, "missing_file", "@"),
        ({"song": (io.BytesIO(b"x"), "s.mp3")}, 422, "invalid_option", "song"),
        ({"file": [(io.BytesIO(b"x"), "a"), (io.BytesIO(b"y"), "b")]}, 400, "bad_multipart", "one song"),
        ({"file": "x" * 300_000}, 413, "upload_too_large", "@"),
    ],
    ids=["empty", "no file", "unknown option", "address", "text", "other name", "two", "long text"],
)
def test_forms_without_one_file_are_refused(client, scratch, form, status, code, names):
    answer = client.post(URL, data=form, content_type="multipart/form-data")
    assert names in problem(answer, status, code)
    assert not list(scratch.glob("msaas-*"))


def test_a_form_whose_file_is_named_in_another_encoding_is_taken(client, song):
    """curl sends the bytes of the name as they are."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="caf\xe9.mp3"\r\n\r\n'
    form = head + song + b"\r\n--b--\r\n"
    answer = client.post(URL, data=form, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 202
    assert answer.json["songhash"] == client.post(URL, data=song, **RAW).json["songhash"]


def test_a_form_cut_short_or_without_its_boundary_is_refused(client, scratch):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="s"\r\n\r\nRIFF'
    problem(client.post(URL, data=body, content_type="multipart/form-data; boundary=b"), 400, "bad_multipart")
    problem(client.post(URL, data=body, content_type="multipart/form-data"), 400, "bad_multipart")
    assert not list(scratch.glob("msaas-*"))


# --- too much


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}  # as WSGI servers have it


class Unreadable(io.BytesIO):
    def read(self, *_):
        raise AssertionError("read")


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(
    "post",
    [
        lambda client, song: client.post(URL, data=song, **RAW),
        lambda client, song: client.post(URL, data={"file": (io.BytesIO(song), "s")}),
        lambda client, song: client.post(URL, json={"mp3": as_base64(song)}),
        lambda client, song: client.post(URL, input_stream=io.BytesIO(song), environ_overrides=CHUNKED, **RAW),
    ],
    ids=["raw", "form", "json", "chunked"],
)
def test_the_limit_is_on_the_songs_own_bytes_to_the_byte(make_app, scratch, song, post, extra):
    client = make_app(max_upload_bytes=len(song) - extra).test_client()
    answer = post(client, song)
    if extra:
        assert str(len(song) - 1) in problem(answer, 413, "upload_too_large")
    else:
        assert answer.status_code == 202, answer.text
    assert not list(scratch.glob("msaas-*"))


def test_a_declared_length_past_the_limit_is_refused_unread(make_app):
    client = make_app(max_upload_bytes=1000).test_client()
    for kind in ("audio/mpeg", "application/json", "multipart/form-data; boundary=b"):
        answer = client.post(
            URL, input_stream=Unreadable(), content_type=kind, environ_overrides={"CONTENT_LENGTH": str(10**9)}
        )
        problem(answer, 413, "upload_too_large")


def test_a_full_disk_is_a_503_and_leaves_nothing(client, queue, storage, scratch, song, monkeypatch):
    monkeypatch.setattr(spool.Spool, "write", lambda self, data: full_disk(self))
    for post in (
        {"data": song, **RAW},
        {"data": {"file": (io.BytesIO(song), "s")}},
        {"json": {"mp3": as_base64(song)}},
    ):
        answer = client.post(URL, **post)
        problem(answer, 503, "scratch_full")
        assert int(answer.headers["Retry-After"]) > 0
    assert nothing_is_left(queue, storage, scratch)


def full_disk(file):
    with spool.scratch_errors(file.folder):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_base64_bodies_beyond_two_wait_and_are_then_told_to_come_again(make_app, song):
    app = make_app()
    gate = app.extensions["msaas"].base64_gate
    assert gate.places == 2
    gate.wait_seconds = 0.05
    with gate.place("somebody"), gate.place("somebody else"):
        answer = app.test_client().post(URL, json={"mp3": as_base64(song)})
        problem(answer, 503, "busy")
        assert answer.headers["Retry-After"]
        assert app.test_client().post(URL, data=song, **RAW).status_code == 202
    assert app.test_client().post(URL, json={"mp3": as_base64(song)}).status_code == 200


# --- probing


@pytest.mark.parametrize(
    ("error", "code"),
    [(NotAudio("no sound in it"), "not_audio"), (AudioTooLong("9 h; the limit is 4 h"), "audio_too_long")],
)
def test_what_the_probe_refuses_is_refused_before_it_is_queued(make_app, queue, storage, scratch, song, error, code):
    def refuse(path):
        raise error

    client = make_app(probe=refuse).test_client()
    assert problem(client.post(URL, data=song, **RAW), 422, code) == str(error)
    assert nothing_is_left(queue, storage, scratch)


def test_the_real_probe_reads_the_song_and_refuses_what_is_none(make_app, queue, song):
    client = make_app(probe=None).test_client()
    name = client.post(URL, data=song, **RAW).json["songhash"]
    assert queue.get(name).upload["sample_rate"] == 8000
    problem(client.post(URL, data=b"<html>" * 100, **RAW), 422, "not_audio")


def test_an_unexpected_error_is_a_500_problem_without_its_traceback(make_app, scratch, song, caplog):
    def crash(path):
        raise RuntimeError("secret inner workings")

    answer = make_app(probe=crash).test_client().post(URL, data=song, **RAW)
    detail = problem(answer, 500, "internal_error")
    assert "secret" not in detail
    assert "secret inner workings" in caplog.text and "Traceback" in caplog.text
    assert not list(scratch.glob("msaas-*"))


def test_a_job_shows_its_priority(client):
    for given, shown in (("low", "low"), ("normal", "normal"), ("", "normal")):
        query = {"priority": given} if given else {}
        sent = client.post(URL, data=song_bytes(hertz=200 + len(given)), query_string=query, **RAW).json
        assert client.get(sent["links"]["job"]).json["priority"] == shown
