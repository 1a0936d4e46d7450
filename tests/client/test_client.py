"""The client against an API whose connections drop, that is busy, that refuses, and that sends half of things."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from msaas.client import BadAddress, Client, Job, NotTheService, ServiceError, Unreachable, WaitTimeout
from msaas.client.transport import MAX_PAUSE_SECONDS
from tests.support.models.standin import BUSY, DONE, DROP, FAILED, HASH, PROBLEM, QUEUED, RUNNING, Answer, Api

SEPARATE = "/apiv1/separate"
JOB = f"/apiv1/jobs/{HASH}"


# --- a song goes in


def test_a_song_goes_in_as_its_bytes_with_its_options_in_the_query(api: Api, client: Client, song: Path) -> None:
    job = client.submit(song, stems=["vocals", "drums"], format="flac", callback={"url": "https://example.org"})
    assert (job.songhash, job.state, job.progress) == (HASH, "running", 0.4)
    [posted] = [asked for asked in api.asked if asked.method == "POST"]
    assert posted.body == song.read_bytes()
    assert posted.headers["content-type"] == "audio/mpeg"
    assert posted.headers["content-length"] == str(song.stat().st_size)
    options = {"stems": "vocals,drums", "format": "flac", "callback": '{"url": "https://example.org"}'}
    assert posted.query == options | {"filename": song.name}


def pipe_of(data: bytes) -> IO[bytes]:
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data)

    threading.Thread(target=fill, daemon=True).start()
    return os.fdopen(reader, "rb")


@pytest.mark.parametrize("make", [bytes, io.BytesIO, pipe_of], ids=["bytes", "file", "pipe"])
def test_bytes_files_and_pipes_go_in_alike_and_again_where_the_connection_drops(
    api: Api, client: Client, make: Callable[[bytes], Any]
) -> None:
    api.put_first(SEPARATE, DROP, Answer(503, BUSY))
    client.submit(make(b"its bytes" * 1000))
    bodies = [asked.body for asked in api.asked if asked.method == "POST"]
    assert bodies == [b"its bytes" * 1000] * 3


def test_a_file_goes_in_from_where_it_stands(api: Api, client: Client) -> None:
    file = io.BytesIO(b"header|song")
    file.seek(7)
    client.submit(file)
    assert api.asked[0].body == b"song"


def test_an_upload_tells_how_far_it_is_and_starts_over_with_each_try(api: Api, client: Client) -> None:
    api.put_first(SEPARATE, DROP)
    told: list[tuple[int, int]] = []
    client.submit(b"x" * 100_000, on_upload=lambda sent, size: told.append((sent, size)))
    assert {size for _, size in told} == {100_000}
    assert [sent for sent, _ in told].count(100_000) >= 2
    assert told[-1] == (100_000, 100_000)


def test_a_long_song_goes_in_without_being_held_in_memory(api: Api, tmp_path: Path) -> None:
    client = Client(api.url, resumable_bytes=None)  # at once
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(30_000_000)
    api.asked = _Forgetful()
    sizes: list[int] = []
    tracemalloc.start()
    try:
        client.submit(path, on_upload=lambda _sent, _size: sizes.append(tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    # the stand-in, in this very process, holds the body once; the client must not hold it a second time
    assert max(sizes) < 30_000_000 * 1.5


class _Forgetful(list[Any]):
    def append(self, _asked: Any) -> None:
        pass


def test_a_file_that_is_not_there_is_an_os_error(client: Client) -> None:
    with pytest.raises(FileNotFoundError):
        client.submit("no/such/song.mp3")


# --- tries


def test_each_call_is_made_again_where_the_connection_drops_or_the_api_is_busy(
    api: Api, client: Client, pauses: list[float]
) -> None:
    api.put_first(JOB, DROP, Answer(503, BUSY), Answer(429, BUSY), Answer(502, b"<html>"))
    assert client.job(HASH).state == "running"
    assert len(pauses) == 4


def test_pauses_grow_to_a_limit_and_retry_after_goes_before_them(api: Api, pauses: list[float]) -> None:
    api.answers[JOB] = [Answer(503, BUSY, {"Retry-After": "7"}), Answer(503, BUSY)]
    with pytest.raises(ServiceError, match=r"its hands are full \(503 busy\)"):
        Client(api.url, retries=9, sleep=pauses.append).job(HASH)
    assert len(api.asked) == 10
    assert pauses[0] == 7
    assert 0.25 <= pauses[1] <= 0.5
    assert all(pause <= MAX_PAUSE_SECONDS for pause in pauses[1:])
    assert min(pauses[-2:]) >= MAX_PAUSE_SECONDS / 2


def test_an_api_that_is_not_there_is_given_up_after_some_tries(api: Api, pauses: list[float]) -> None:
    api.answers[JOB] = [DROP]
    with pytest.raises(Unreachable, match=rf"{api.url} did not answer \(tried 4 times\): "):
        Client(api.url, retries=3, sleep=pauses.append).job(HASH)
    assert len(api.asked) == 4


def test_what_the_pause_raises_ends_the_call(api: Api) -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Client(api.url, sleep=stop).wait(HASH)


# --- refusals


def test_a_refusal_carries_code_detail_and_status_and_is_not_tried_again(api: Api, client: Client) -> None:
    api.answers[SEPARATE] = [Answer(422, PROBLEM | {"more": 1})]
    with pytest.raises(ServiceError) as raised:
        client.submit(b"la la la")
    error = raised.value
    assert (error.code, error.detail, error.status) == ("not_audio", "nothing in it decodes to sound", 422)
    assert error.problem["more"] == 1
    assert str(error) == "nothing in it decodes to sound (422 not_audio)"
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "answer", [Answer(404, b"<html>"), Answer(200, b"<html>"), Answer(200, {"other": 1}), Answer(200, b"[]")]
)
def test_an_address_that_is_somebody_elses_is_said_to_be(api: Api, client: Client, answer: Answer) -> None:
    api.answers[JOB] = [answer]
    with pytest.raises(NotTheService, match=api.url):
        client.job(HASH)


def test_a_redirect_is_told_and_not_followed(api: Api, client: Client) -> None:
    api.answers[SEPARATE] = [Answer(301, b"", {"Location": "https://music.example/apiv1/separate"})]
    with pytest.raises(NotTheService, match=r"redirects to https://music\.example/apiv1/separate"):
        client.submit(b"song")
    assert len(api.asked) == 1


def test_a_gateway_without_a_server_behind_it_is_no_wrong_address(api: Api, client: Client) -> None:
    api.answers[JOB] = [Answer(502, b"<html>")]
    with pytest.raises(ServiceError, match="502 Bad Gateway"):
        client.job(HASH)


def test_an_address_that_is_no_url_is_refused_at_once() -> None:
    with pytest.raises(BadAddress, match="'localhost:5000' is not an http or https URL"):
        Client("localhost:5000")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://h:5000/apiv1", "http://h:5000"),
        ("http://h/music/apiv1/", "http://h/music"),
        (" http://h/apiv1/separate\n", "http://h"),
        ("http://h/apiv1x", "http://h/apiv1x"),
    ],
)
def test_an_address_that_leads_to_a_call_is_cut_before_it(given: str, used: str) -> None:
    assert Client(given).url == used


@pytest.mark.parametrize("url", ["http://h:abc", "http://h:70000", "http://[::1", "http://", "http://h?x=1", "h/apiv1"])
def test_other_addresses_that_are_none_are_refused_in_one_line(url: str) -> None:
    with pytest.raises(BadAddress, match=r"\A[^\n]*(is not an http or https URL|has a query)[^\n]*\Z"):
        Client(url)


@pytest.mark.parametrize("url", ["http://a b/", "http://.x..y/", "http://caf\udce9/"])
def test_addresses_that_only_asking_shows_to_be_none_are_refused_too(url: str) -> None:
    with pytest.raises(BadAddress, match="is not a usable URL"):
        Client(url).models()


def test_an_api_without_that_call_is_no_service_of_this_address(api: Api, client: Client) -> None:
    api.answers["/apiv1/models"] = [Answer(404, {"code": "not_found", "detail": "no such call"})]
    with pytest.raises(NotTheService, match="check the service's URL"):
        client.models()


def test_names_that_are_not_utf8_are_asked_about_and_sent_as_they_are_printed(api: Api, client: Client) -> None:
    client.submit(b"song", model="caf\udce9")
    assert api.asked[0].query["model"] == "caf%E9"
    api.answers["/apiv1/jobs/caf%25E9"] = [Answer(404, {"code": "job_unknown", "detail": "no such job"})]
    with pytest.raises(ServiceError, match="no such job"):
        client.job("caf\udce9")


def test_the_address_is_msaas_url_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAAS_URL", "http://music.example/msaas/")
    assert Client().url == "http://music.example/msaas"
    monkeypatch.delenv("MSAAS_URL")
    assert Client().url == "http://localhost:5000"


# --- waiting


@pytest.mark.parametrize("end", [DONE, FAILED, RUNNING | {"state": "cancelled"}])
def test_waiting_sees_each_change_and_returns_the_job_however_it_ended(
    api: Api, client: Client, end: dict[str, Any]
) -> None:
    api.answers[JOB] = [Answer(body=view) for view in (QUEUED, RUNNING, end)]
    seen: list[Job] = []
    job = client.wait(HASH, on_progress=seen.append)
    assert [one.state for one in seen] == ["queued", "running", end["state"]]
    assert job == seen[-1]
    assert job.ended


def test_waiting_ends_with_its_time_and_tells_how_the_job_stands(api: Api, client: Client) -> None:
    api.answers[JOB] = [Answer(body=RUNNING)]
    with pytest.raises(WaitTimeout, match="is still running after 0 seconds") as raised:
        client.wait(HASH, timeout=0)
    assert raised.value.job.progress == 0.4


def test_a_job_is_typed_and_keeps_what_it_does_not_know(api: Api, client: Client) -> None:
    api.answers[JOB] = [Answer(body=DONE | {"of_a_later_version": [1]})]
    job = client.job(HASH)
    assert job.created_at is not None
    assert job.created_at.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert (job.done, job.format, job.duration_seconds, list(job.stems)) == (True, "mp3", 12.5, ["vocals", "drums"])
    assert job.view["of_a_later_version"] == [1]
    assert Job.from_view(FAILED).error.code == "not_audio"  # type: ignore[union-attr]
    with pytest.raises(AttributeError):
        job.state = "queued"  # type: ignore[misc]


def test_a_songhash_that_would_lead_elsewhere_stays_one_name(api: Api, client: Client) -> None:
    api.answers["/apiv1/jobs/..%2Fqueue"] = [Answer(404, PROBLEM | {"status": 404, "code": "job_unknown"})]
    with pytest.raises(ServiceError):
        client.job("../queue")


# --- the other calls


def test_separate_is_all_of_it(api: Api, client: Client, song: Path, tmp_path: Path) -> None:
    assert list(client.separate(song, tmp_path / "stems", two_stems="vocals")) == ["vocals", "drums"]
    assert api.asked[0].query["two_stems"] == "vocals"


def test_the_models_come_with_stems_and_licence_also_from_an_older_service(api: Api, client: Client) -> None:
    licence = {"id": "CC-BY-NC-4.0", "commercial": False, "statement": "so", "note": ""}
    new = {"name": "a", "sources": ["x", "y"], "workers": 2, "family": "scnet", "summary": "For a.", "licence": licence}
    old = {"name": "b", "sources": None, "workers": 0}
    api.answers["/apiv1/models"] = [Answer(body={"default": "b", "models": [new, old]}), Answer(body={"models": [{}]})]
    a, b = client.list_models()
    assert (a.sources, a.workers, a.licence, a.commercial, a.summary) == (
        ("x", "y"),
        2,
        "CC-BY-NC-4.0",
        False,
        "For a.",
    )
    assert (b.sources, b.licence, b.commercial, b.default, a.default) == (None, None, None, True, False)
    assert a.view == new
    with pytest.raises(NotTheService, match="does not answer like MSaaS"):
        client.list_models()


def test_cancel_remove_and_queue_are_one_call_each(api: Api, client: Client) -> None:
    api.answers[JOB] = [Answer(body=RUNNING | {"state": "cancelled"})]
    api.answers[f"/apiv1/remove/{HASH}-vocals"] = [Answer(body={"removed": [f"{HASH}-vocals.mp3"]})]
    api.answers["/apiv1/queue"] = [Answer(body={"queue": [HASH], "total": 7, "in_work": [], "dead": ["x"]})]
    assert client.cancel(HASH).state == "cancelled"
    assert client.remove(HASH, "vocals") == [f"{HASH}-vocals.mp3"]
    queue = client.queue(offset=3, limit=1)
    assert (queue.waiting, queue.total, queue.in_work, queue.dead) == ((HASH,), 7, (), ("x",))
    assert [(asked.method, asked.query) for asked in api.asked] == [
        ("DELETE", {}),
        ("DELETE", {}),
        ("GET", {"offset": "3", "limit": "1"}),
    ]


# --- idempotency keys


def test_the_attempts_of_one_submit_share_a_key_and_each_submit_has_its_own(api: Api, client: Client) -> None:
    in_progress = Answer(409, {"code": "request_in_progress", "detail": "later"}, {"Retry-After": "1"})
    api.put_first(SEPARATE, DROP, in_progress)
    client.submit(b"song")
    client.submit(b"song")
    client.submit(b"song", idempotency_key='mine \\ "quoted"')
    keys = [asked.headers["idempotency-key"] for asked in api.asked if asked.method == "POST"]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] == r'"mine \\ \"quoted\""'


def test_a_key_that_cannot_be_sent_is_refused_before_anything_is(api: Api, client: Client) -> None:
    for key in ("", "schlüssel", "two\nlines"):
        with pytest.raises(ValueError, match="printable ASCII"):
            client.submit(b"song", idempotency_key=key)
    assert not api.asked


def test_a_submitted_job_says_whether_it_was_known(api: Api, client: Client) -> None:
    assert client.submit(b"song").known is None, "an older service does not say"
    api.answers[SEPARATE] = [Answer(200, {"songhash": HASH, "state": "running", "known": True})]
    assert client.submit(b"song").known is True
