"""The demo's way through the API, against one that drops connections, refuses, and sends half of things."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from msaas.local import client as client_module
from msaas.local.client import ApiError, Client
from msaas.local.demo import SongFailed, SongMissing, Stage, _Work, find_song
from msaas.local.processes import Interrupted

HASH = "00000000-0000-5000-8000-000000000001"
DONE = {
    "songhash": HASH,
    "state": "done",
    "progress": 1.0,
    "model": "htdemucs_mini",
    "options": {"format": "mp3"},
    "duration_seconds": 12.5,
    "stems": {"vocals": f"/apiv1/track/{HASH}-vocals", "drums": f"/apiv1/track/{HASH}-drums"},
}
RUNNING = {"songhash": HASH, "state": "running", "stage": "separating", "progress": 0.4, "stems": {}}
PROBLEM = {"title": "Not audio", "detail": "nothing in it decodes to sound", "code": "not_audio", "status": 422}

Answer = tuple[int, Any] | str  # status and body, or "drop", or "cut short"


class Api(http.server.ThreadingHTTPServer):
    """Answers each path from a list; the last answer of a list is given again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.path, self.headers.get("Content-Type", ""), body))
        answers = self.server.answers[self.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "drop":
            self.connection.close()
            return
        status, payload = (200, b"half") if isinstance(answer, str) else answer
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) + (4 if answer == "cut short" else 0)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _handle  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def finish(self) -> None:
        if self.connection.fileno() >= 0:
            super().finish()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(client_module, "LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "POLL_SECONDS", 0.01)
    server = Api()
    server.answers = {
        "/apiv1/separate": [(202, {"songhash": HASH, "state": "queued"})],
        f"/apiv1/jobs/{HASH}": [(200, RUNNING), (200, DONE)],
        f"/apiv1/track/{HASH}-vocals": [(200, b"vocals!!")],
        f"/apiv1/track/{HASH}-drums": [(200, b"drums!!!")],
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "a song.mp3"
    path.write_bytes(b"its bytes")
    return path


def work(api: Api, song: Path, warning: tuple[str, ...] = ()) -> list[str]:
    """What the demo says; the stems land in stems/ beside the song."""

    def supervise(until: Callable[[], bool]) -> None:
        while not until():
            pass

    said: list[str] = []
    stage = Stage(api.url, warning, supervise)
    _Work(stage, song, song.parent / "stems", lambda: False, said.append).see_through()
    return said


def test_stems_are_written_and_the_last_line_tells_model_and_place(api: Api, song: Path) -> None:
    said = work(api, song)
    stems = {path.name: path.read_bytes() for path in (song.parent / "stems").iterdir()}
    assert stems == {"vocals.mp3": b"vocals!!", "drums.mp3": b"drums!!!"}
    assert "2 stems of a song.mp3, 12.5 s of music, are in" in said[-1]
    assert "made by htdemucs_mini in" in said[-1]
    assert api.asked[0] == ("/apiv1/separate", "audio/mpeg", b"its bytes")


def test_dropped_connections_busy_servers_and_half_a_stem_are_tried_again(api: Api, song: Path) -> None:
    api.answers["/apiv1/separate"][:0] = ["drop", (503, PROBLEM)]
    api.answers[f"/apiv1/jobs/{HASH}"][:0] = ["drop", (503, {})]
    api.answers[f"/apiv1/track/{HASH}-vocals"][:0] = ["cut short", "drop"]
    work(api, song)
    assert (song.parent / "stems" / "vocals.mp3").read_bytes() == b"vocals!!"


def test_stems_of_an_earlier_song_are_overwritten_and_other_files_stay(api: Api, song: Path) -> None:
    stems = song.parent / "stems"
    stems.mkdir()
    for name in ("vocals.mp3", "mine.txt"):
        (stems / name).write_bytes(b"older")
    work(api, song)
    assert (stems / "vocals.mp3").read_bytes() == b"vocals!!"
    assert (stems / "mine.txt").read_bytes() == b"older"


def test_stem_that_cannot_be_fetched_leaves_the_older_one_whole(api: Api, song: Path) -> None:
    stems = song.parent / "stems"
    stems.mkdir()
    (stems / "vocals.mp3").write_bytes(b"older")
    api.answers[f"/apiv1/track/{HASH}-vocals"] = ["cut short"]
    with pytest.raises(ApiError):
        work(api, song)
    assert [(path.name, path.read_bytes()) for path in stems.iterdir()] == [("vocals.mp3", b"older")]


def test_refusal_is_one_line_with_title_detail_and_code(api: Api, song: Path) -> None:
    api.answers["/apiv1/separate"] = [(422, PROBLEM)]
    with pytest.raises(ApiError, match=r"^Not audio: nothing in it decodes to sound \(422, not_audio\)$"):
        work(api, song)


def test_answer_that_is_no_problem_document_is_told_by_its_status(api: Api, song: Path) -> None:
    api.answers["/apiv1/separate"] = [(502, b"<html>")]
    with pytest.raises(ApiError, match="the API answered 502 Bad Gateway"):
        work(api, song)


def test_failed_job_is_told_with_its_reason(api: Api, song: Path) -> None:
    failed = RUNNING | {"state": "failed", "error": {"code": "not_audio", "detail": "it holds no sound"}}
    api.answers[f"/apiv1/jobs/{HASH}"] = [(200, failed)]
    with pytest.raises(SongFailed, match=r"a song.mp3 failed: it holds no sound"):
        work(api, song)


def test_server_that_is_not_there_is_given_up_after_some_tries(api: Api, song: Path) -> None:
    api.answers["/apiv1/separate"] = ["drop"]
    with pytest.raises(ApiError, match="does not answer"):
        Client(api.url).separate(song)
    assert len(api.asked) == client_module.ATTEMPTS


def test_warning_is_repeated_before_the_last_line(api: Api, song: Path) -> None:
    said = work(api, song, ("THE SMALL MODEL IS IN USE",))
    assert "*  THE SMALL MODEL IS IN USE  *" in said[-2]


def test_stopping_ends_the_waiting(api: Api) -> None:
    with pytest.raises(Interrupted):
        Client(api.url, stopping=lambda: True).job(HASH)


@pytest.mark.parametrize(("given", "reason"), [("nowhere.mp3", "not there"), (".", "no file")])
def test_song_that_is_missing_or_a_folder_is_said_to_be(given: str, reason: str) -> None:
    with pytest.raises(SongMissing, match=reason):
        find_song(given)


def test_sample_is_a_song_of_the_data_folder() -> None:
    assert find_song(None).parent.name == "data"
