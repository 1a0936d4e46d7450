"""Jobs over HTTP: the view, cancelling, the zip."""

import io
import json
import re
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Generator
from datetime import datetime

import pytest

from msaas.jobs import State
from msaas.queue.worker_registry import Worker
from msaas.web.http.archive import Member, zip_chunks, zip_size
from tests.support.api import NOBODY, STEMS, Player, post, problem

FIELDS = {
    "songhash", "state", "name", "tags", "stage", "progress", "queue_position", "eta_seconds", "waiting_for",
    "attempts", "error", "warnings", "model", "options", "duration_seconds", "analysis", "stems", "timings",
    "created_at", "started_at", "finished_at", "priority",
}  # fmt: skip


def view(client, name):
    answer = client.get(f"/apiv1/jobs/{name}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


# --- the view


def test_a_job_reads_as_the_contract_says_in_every_state(client, queue, player):
    first, second = post(client, 400), post(client, 500)
    waiting = view(client, second)
    assert waiting.keys() == FIELDS
    assert (waiting["state"], waiting["queue_position"], waiting["attempts"]) == ("queued", 1, 0)
    assert (waiting["stems"], waiting["error"], waiting["started_at"]) == ({}, None, None)

    claim = queue.claim("w")
    queue.renew(claim, {"stage": "separating", "progress": "0.5"})
    running = view(client, first)
    assert running.keys() == FIELDS
    assert (running["state"], running["stage"], running["progress"]) == ("running", "separating", 0.5)
    assert (running["queue_position"], running["attempts"]) == (None, 1)
    assert view(client, second)["queue_position"] == 0

    queue.release(claim)
    assert player.work() == first
    ended = view(client, first)
    assert ended.keys() == FIELDS
    assert (ended["state"], ended["progress"], ended["eta_seconds"]) == ("done", 1.0, 0)
    assert ended["stems"] == {stem: f"/apiv1/track/{first}-{stem}" for stem in STEMS}
    assert ended["model"] == "htdemucs_mini"
    assert ended["options"]["format"] == "mp3"
    assert all(client.get(link).status_code == 200 for link in ended["stems"].values())


def test_a_song_that_no_live_worker_runs_says_what_it_waits_for(client, queue, player):
    other = post(client, 300)
    assert queue.finish(queue.claim("w"), {"stems": {}}, 6.0)  # so that there is a pace
    first, second = post(client, 400), post(client, 500)
    seen = view(client, second)
    assert (seen["state"], seen["eta_seconds"], seen["waiting_for"]["code"]) == ("queued", None, "no_worker")

    queue.announce(Worker("another", ("htdemucs",)))
    seen = view(client, second)
    assert (seen["queue_position"], seen["waiting_for"]["code"]) == (1, "model_not_offered")
    assert "htdemucs_mini" in seen["waiting_for"]["detail"]

    queue.announce(Worker("ours", ("htdemucs_mini",)))
    seen = view(client, second)
    assert (seen["waiting_for"], seen["queue_position"]) == (None, 1)
    assert seen["eta_seconds"] is not None
    assert queue.claim("ours").songhash == first
    assert view(client, first)["waiting_for"] is None
    assert view(client, other)["waiting_for"] is None


def test_readiness_and_models_tell_what_live_workers_offer(make_app, queue):
    client = make_app(models=("htdemucs",)).test_client()
    queue.announce(Worker("one", ("htdemucs_mini",)))
    queue.announce(Worker("two", ("htdemucs_mini", "not_asked_for")))
    queue.announce(Worker("loading"))
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["workers"]) == (200, 2)
    assert ready.json["models"] == {"htdemucs_mini": 2, "htdemucs": 0}
    offered = {model["name"]: model["workers"] for model in client.get("/apiv1/models").json["models"]}
    assert offered == ready.json["models"]


def test_times_are_iso_8601_in_utc(client, done):
    seen = view(client, done)
    for name in ("created_at", "started_at", "finished_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", seen[name])
    assert datetime.fromisoformat(seen["created_at"]) <= datetime.fromisoformat(seen["finished_at"])
    assert seen["timings"].keys() >= {"waited_seconds", "ran_seconds"}


def test_a_failed_job_tells_code_and_detail_of_its_error(client, queue):
    name = post(client)
    queue.fail(queue.claim("w"), {"code": "not_audio", "detail": "nothing decodes", "trace": "secret"}, retry=False)
    seen = view(client, name)
    assert (seen["state"], seen["error"]) == ("failed", {"code": "not_audio", "detail": "nothing decodes"})


def test_a_job_that_is_tried_again_has_a_message_but_no_error(client, queue):
    name = post(client)
    queue.fail(queue.claim("w"), {"code": "worker_child_died", "detail": "it died"}, retry=True)
    seen = view(client, name)
    assert (seen["state"], seen["error"], seen["attempts"]) == ("queued", None, 1)
    assert "it died" in seen["message"]


def test_a_uuid_pushed_by_hand_is_a_job_that_can_be_seen(client, redis, queue):
    redis.rpush("toWorkers", NOBODY)
    seen = view(client, NOBODY)
    assert (seen["state"], seen["queue_position"], seen["model"], seen["options"]) == ("queued", 0, None, None)
    queue.claim("w")
    assert view(client, NOBODY)["state"] == "running"


def test_a_queued_job_has_an_eta_once_a_song_was_done(client, player, queue):
    queue.announce(Worker("player", ("htdemucs_mini",)))
    first, second = post(client, 400), post(client, 500)
    assert view(client, second)["eta_seconds"] is None
    assert player.work() == first
    assert view(client, second)["eta_seconds"] >= 0


@pytest.mark.parametrize("call", ["", "/events", "/stems.zip"])
def test_a_job_that_is_none_is_unknown(client, call):
    for name in (NOBODY, "nonsense", "%00", "x" * 3000, "{" + NOBODY + "}"):
        said = problem(client.get(f"/apiv1/jobs/{name}{call}"), 404, "job_unknown")
        assert said.endswith(("is not a songhash: a songhash is a UUID", f"unknown job {name}"))


def test_a_songhash_may_be_written_in_capitals(client, done):
    assert view(client, done.upper())["songhash"] == done


# --- cancelling


def test_a_waiting_job_is_cancelled_and_leaves_the_queue(client, queue):
    name = post(client)
    answer = client.delete(f"/apiv1/jobs/{name}")
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert queue.counts().waiting == 0


def test_a_running_job_is_cancelled_its_worker_learns_it_and_its_stems_go(client, queue, storage, player):
    name = post(client)
    claim = queue.claim("w")
    player.put(f"{name}-vocals.mp3", b"early")
    assert client.delete(f"/apiv1/jobs/{name}").json["state"] == "cancelled"
    assert queue.renew(claim) == "cancelled"
    assert storage.stems_of(name) == []


def test_cancelling_twice_or_after_a_failure_changes_nothing(client, queue):
    name = post(client)
    client.delete(f"/apiv1/jobs/{name}")
    again = client.delete(f"/apiv1/jobs/{name}")
    assert (again.status_code, again.json["state"]) == (200, "cancelled")
    other = post(client, 500)
    queue.fail(queue.claim("w"), {"code": "x", "detail": "y"}, retry=False)
    failed = client.delete(f"/apiv1/jobs/{other}")
    assert (failed.status_code, failed.json["state"]) == (200, "failed")


def test_a_done_job_is_not_cancelled_but_its_tracks_can_be_removed(client, queue, done):
    assert "/apiv1/remove/" in problem(client.delete(f"/apiv1/jobs/{done}"), 409, "conflict")
    assert queue.get(done).state is State.DONE
    assert client.get(f"/apiv1/track/{done}-vocals").status_code == 200


def test_cancelling_what_is_unknown_is_a_404(client):
    assert NOBODY in problem(client.delete(f"/apiv1/jobs/{NOBODY}"), 404, "job_unknown")


def test_a_uuid_pushed_by_hand_can_be_cancelled(client, redis):
    redis.rpush("toWorkers", NOBODY)
    assert client.delete(f"/apiv1/jobs/{NOBODY}").json["state"] == "cancelled"


# --- the zip


def test_the_zip_holds_every_stem_whole_under_a_plain_name(client, done, tmp_path):
    answer = client.get(f"/apiv1/jobs/{done}/stems.zip")
    assert answer.status_code == 200
    assert answer.content_type == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{done}.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    assert {n: archive.read(n) for n in archive.namelist()} == {f"{s}.mp3": Player.content(s) for s in STEMS}
    assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}


def test_head_of_the_zip_reads_no_stem(client, done, monkeypatch):
    answer = client.head(f"/apiv1/jobs/{done}/stems.zip")
    assert (answer.status_code, answer.content_type, answer.data) == (200, "application/zip", b"")
    assert answer.headers["Content-Length"] == client.get(f"/apiv1/jobs/{done}/stems.zip").headers["Content-Length"]


def test_no_zip_of_a_job_that_is_not_done(client):
    assert "queued" in problem(client.get(f"/apiv1/jobs/{post(client)}/stems.zip"), 404, "job_not_done")


def test_no_zip_where_a_stem_was_removed(client, done):
    client.delete(f"/apiv1/remove/{done}-bass")
    assert "bass" in problem(client.get(f"/apiv1/jobs/{done}/stems.zip"), 404, "track_removed")


def test_a_zip_is_made_in_the_memory_of_one_chunk():
    chunk = bytes(1 << 20)
    tracemalloc.start()
    total = sum(map(len, zip_chunks([Member("a", 64 << 20, None, iter([chunk] * 64))])))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 64 << 20
    assert peak < 8 << 20


def large_chunks(size):
    chunk = bytes(1 << 24)
    yield from (chunk for _ in range(size // len(chunk)))
    yield bytes(size % len(chunk))


@pytest.mark.slow
def test_past_four_gigabytes_the_size_is_still_known_and_the_zip_sound(tmp_path):
    sizes = [("a.wav", 3), ("b.wav", 2_200_000_000), ("c.wav", 2_050_000_000), ("d.wav", 5)]
    path = tmp_path / "stems.zip"
    written = 0
    with path.open("wb") as file:
        for chunk in zip_chunks([Member(name, size, None, large_chunks(size)) for name, size in sizes]):
            written += len(chunk)
            if chunk.count(0) == len(chunk):
                file.truncate(written)  # a hole: the disk need not hold it
                file.seek(written)
            else:
                file.write(chunk)
    assert zip_size(sizes) == written == path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        assert [(info.filename, info.file_size) for info in archive.infolist()] == sizes
        assert archive.testzip() is None


@pytest.mark.parametrize(
    "sizes", [[], [("a", 0)], [("vocals.wav", 5), ("größe-ø.mp3", 100_000)], [(f"x{n}", 7) for n in range(32)]]
)
def test_the_size_of_a_zip_is_known_ahead(sizes):
    chunks = zip_chunks([Member(name, size, None, iter([bytes(size)])) for name, size in sizes])
    assert zip_size(sizes) == sum(map(len, chunks))


def test_a_zip_download_resumes_at_any_byte(client, done):
    url = f"/apiv1/jobs/{done}/stems.zip"
    whole = client.get(url)
    size = int(whole.headers["Content-Length"])
    assert len(whole.data) == size and whole.headers["Accept-Ranges"] == "bytes"
    for start in (0, 1, 57, size // 2, size - 1):
        headers = {"Range": f"bytes={start}-", "If-Range": whole.headers["ETag"]}
        rest = client.get(url, headers=headers)
        assert (rest.status_code, rest.headers["Content-Range"]) == (206, f"bytes {start}-{size - 1}/{size}")
        assert rest.data == whole.data[start:]
    assert client.get(url, headers={"Range": "bytes=10-19"}).data == whole.data[10:20]
    problem(client.get(url, headers={"Range": f"bytes={size}-"}), 416, "requested_range_not_satisfiable")
    assert client.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_a_zip_of_other_stems_has_another_etag(client, done, storage, player):
    url = f"/apiv1/jobs/{done}/stems.zip"
    before = client.head(url)
    player.put(f"{done}-bass.mp3", b"another bass")
    changed = client.get(url, headers={"Range": "bytes=5-", "If-Range": before.headers["ETag"]})
    assert changed.status_code == 200 and changed.headers["ETag"] != before.headers["ETag"]


def test_a_zip_abandoned_halfway_closes_what_it_reads():
    closed = []

    def pieces():
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.append(True)

    endless = pieces()
    chunks = zip_chunks([Member("a", 10, None, endless)])
    next(chunks)
    for generator in (chunks, endless):
        assert isinstance(generator, Generator)
        generator.close()
    assert closed == [True]


def test_the_api_never_loads_torch():
    code = "import sys, msaas.web.__main__; print([m for m in ('torch', 'demucs') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
