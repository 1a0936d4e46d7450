"""tuspy, the client of the tus project for Python, against the API as it runs."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
import requests
from tusclient import client as tusclient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage

from tests.support.api import song_bytes
from tests.support.api_process import real_api, url, worker
from tests.uploads.conftest import PATH

__all__ = ["real_api", "url", "worker"]


@pytest.fixture
def tus(url: str) -> tusclient.TusClient:
    return tusclient.TusClient(f"{url}{PATH}")


def submit(url: str, upload_url: str) -> dict[str, Any]:
    answer = requests.post(f"{url}/apiv1/separate", json={"upload": upload_url.rpartition("/")[2]}, timeout=60)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("with_checksum", [False, True])
def test_a_song_sent_in_chunks_is_the_song_sent_at_once(tus, url, tmp_path, with_checksum):
    song = song_bytes(30)  # 480 kB
    path = tmp_path / "a song.wav"
    path.write_bytes(song)
    uploader = tus.uploader(
        str(path), chunk_size=100_000, metadata={"filename": "Söng.wav"}, upload_checksum=with_checksum
    )
    uploader.upload()
    assert uploader.offset == uploader.get_offset() == len(song)
    sent = submit(url, uploader.url)
    assert sent["name"] == "Söng"
    at_once = requests.post(f"{url}/apiv1/separate", data=song, headers={"Content-Type": "audio/wav"}, timeout=60)
    assert at_once.json()["songhash"] == sent["songhash"]


def test_an_upload_that_stopped_goes_on_in_another_process(tus, url, tmp_path):
    """As a client that was started again: it finds the URL in its storage, and asks for the offset."""
    path = tmp_path / "song.wav"
    path.write_bytes(song_bytes(30))
    options = {"chunk_size": 50_000, "store_url": True, "url_storage": FileStorage(str(tmp_path / "urls"))}
    first = tus.uploader(str(path), **options)
    first.upload(stop_at=150_000)
    again = tus.uploader(str(path), **options)
    assert (again.url, again.offset) == (first.url, 150_000)
    again.upload()
    assert submit(url, again.url)["state"] == "queued"


def test_a_retry_asks_for_the_offset_first(tus, url):
    song = song_bytes(10)
    uploader = tus.uploader(file_stream=io.BytesIO(song), chunk_size=40_000, retries=1, retry_delay=0)
    uploader.upload_chunk()
    uploader.offset = 10  # as after an answer that was lost
    uploader.upload()
    assert submit(url, uploader.url)["state"] == "queued"


def test_its_asynchronous_client_works_as_well(tus, url):
    uploader = tus.async_uploader(file_stream=io.BytesIO(song_bytes(10)), chunk_size=40_000)
    asyncio.run(uploader.upload())
    assert submit(url, uploader.url)["state"] == "queued"


def test_refusals_are_its_errors(tus, url):
    uploader = tus.uploader(file_stream=io.BytesIO(song_bytes()))
    uploader.upload()
    assert requests.delete(uploader.url, headers={"Tus-Resumable": "1.0.0"}, timeout=60).status_code == 204
    with pytest.raises(TusCommunicationError):
        uploader.get_offset()
    uploader.offset = 0
    with pytest.raises(TusUploadFailed):
        uploader.upload()
