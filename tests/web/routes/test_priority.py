"""`priority=low` in each kind of body: kept in the record, not in the songhash, and refused if it is another word."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.support.api import URL, as_base64, problem, song_bytes


@pytest.mark.parametrize("kind", ["query", "form", "json", "upload"])
def test_a_song_of_low_priority_waits_behind_others(client, queue, kind):
    first = _post(client, song_bytes(hertz=100), "query", priority="low")
    low = _post(client, song_bytes(hertz=200), kind, priority="low")
    single = _post(client, song_bytes(hertz=300), kind)
    assert queue.waiting() == [one.json["songhash"] for one in (single, first, low)]
    assert queue.redis.hget(f"job:{low.json['songhash']}", "priority") == "low"


def test_the_priority_is_no_part_of_the_songhash_and_a_second_post_moves_the_song_up(client, queue):
    songs = [song_bytes(hertz=hertz) for hertz in (100, 200)]
    low = [_post(client, song, "query", priority="low").json["songhash"] for song in songs]
    again = _post(client, songs[1], "query", priority="normal")
    assert (again.status_code, again.json["songhash"], again.json["known"]) == (200, low[1], True)
    assert queue.waiting() == [low[1], low[0]]


def test_a_song_by_address_keeps_its_priority(client, redis):
    body = {"url": "https://example.org/song.flac", "priority": "low"}
    name = client.post(URL, json=body).json["songhash"]
    assert redis.hget(f"job:{name}", "priority") == "low"


@pytest.mark.parametrize("value", ["high", "LOW", 1, ["low"], {"low": 1}, True])
def test_another_priority_is_refused(client, song, value):
    detail = problem(client.post(URL, json={"mp3": as_base64(song), "priority": value}), 422, "invalid_option")
    assert "normal, low" in detail


def _post(client: Any, song: bytes, kind: str, **more: str) -> Any:
    if kind == "query":
        return client.post(URL, query_string=more, data=song, content_type="audio/wav")
    if kind == "form":
        return client.post(URL, data={"file": (io.BytesIO(song), "x.wav"), **more})
    if kind == "json":
        return client.post(URL, json={"mp3": as_base64(song), **more})
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(song))}
    kind_of = "application/offset+octet-stream"
    created = client.post("/apiv1/uploads", data=song, headers=headers, content_type=kind_of)
    return client.post(URL, json={"upload": created.headers["Location"].rpartition("/")[2], **more})
