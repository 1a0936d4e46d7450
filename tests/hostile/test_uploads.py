"""Every row of the table, posted to the API; what it accepts is decoded as a run would."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from msaas.song_names import safe_name
from msaas.web.uploads.spool import PREFIX
from tests.hostile.conftest import heard
from tests.hostile.table import ACCEPTED, ANY, FILENAMES, ROWS, Row
from tests.support.audio import hostile_files as files


@pytest.mark.parametrize("row", ROWS, ids=[row.claim for row in ROWS])
def test_hostile_upload(row: Row, service, storage, queue, tmp_path):
    answer = service.post(row.make())
    body = answer.json()
    assert (answer.status_code, body.get("code", "")) == row.answer, body
    assert service.alive(), "the server died of it"
    if row.answer == ACCEPTED:
        song = tmp_path / "song"
        storage.fetch_input(body["songhash"], song)
        code, seconds = heard(song)
        if isinstance(row.heard, str):
            assert code == row.heard
        else:
            assert not code
            assert seconds > 0 if row.heard == ANY else seconds == pytest.approx(row.heard, abs=0.01)


def test_no_claim_is_made_twice():
    assert len({row.claim for row in ROWS}) == len(ROWS)


def form(filename: bytes, song: bytes) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + filename + b'"\r\n'
    return head + b"Content-Type: audio/mpeg\r\n\r\n" + song + b"\r\n--edge--\r\n"


@pytest.mark.parametrize("filename", FILENAMES, ids=[repr(name[:20]) for name in FILENAMES])
def test_name_of_an_uploaded_file_names_nothing_here(filename, service, storage, queue):
    """It is the song's name for people, made safe, and nothing else. Posted byte by byte: no client would let most of
    them through."""
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)
    kind = {"Content-Type": "multipart/form-data; boundary=edge"}
    connection.request("POST", "/apiv1/separate", form(filename.encode(), files.mp3()), kind)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status in (202, 400), text
    body = json.loads(text)
    name = body.pop("name", None) or ""
    body.get("links", {}).pop("named", None)
    assert filename not in json.dumps(body, ensure_ascii=False) or filename == "."
    assert safe_name(name) == name
    assert "X-Injected" not in answer.headers
    assert not Path("pwned").exists()
    assert not [path for path in service.scratch.iterdir() if path.name.startswith(PREFIX)]
    assert [item.name for item in storage.names("input-tracks")] == [
        f"{name}.mp3" for name in queue.redis.lrange("toWorkers", 0, -1)
    ]
