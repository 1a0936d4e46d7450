"""Callbacks of songs by address: of the song's job, or of a fetch that failed."""

from __future__ import annotations

import json

from tests.fetching.conftest import by_address, callbacks_of, job
from tests.support.api import RAW, URL


def test_a_callback_waits_for_the_songs_job_not_for_the_fetch(home, fetcher, redis, player, server, song):
    name = by_address(home, server(song).url, callback={"url": "https://example.org/done", "data": 7})
    fetcher.turn()
    assert callbacks_of(home, name) == [("https://example.org", "waiting")]
    assert redis.zcard("callbacks") == 0
    player.work()
    assert callbacks_of(home, name) == [("https://example.org", "pending")]
    [id_] = redis.zrange("callbacks", 0, -1)
    assert redis.hget(f"callback:{id_}", "songhash") == job(home, name)["songhash"]


def test_a_callback_of_a_song_that_is_done_is_due_after_the_fetch(home, fetcher, redis, player, server, song):
    home.post(URL, data=song, **RAW)
    player.work()
    name = by_address(home, server(song).url, callback={"url": "https://example.org/done"})
    fetcher.turn()
    [id_] = redis.zrange("callbacks", 0, -1)
    assert json.loads(redis.hget(f"callback:{id_}", "snapshot"))["state"] == "done"
    assert callbacks_of(home, name) == [("https://example.org", "pending")]


def test_a_callback_that_the_song_has_already_is_called_once(home, fetcher, redis, player, server, song):
    callback = {"url": "https://example.org/done"}
    home.post(f"{URL}?callback={json.dumps(callback)}", data=song, **RAW)
    by_address(home, server(song).url, callback=callback)
    fetcher.turn()
    player.work()
    assert redis.zcard("callbacks") == 1
    assert len(redis.keys("callback:*")) == 1


def test_a_failed_fetch_calls_back_with_the_reason(home, fetcher, redis, server, song):
    name = by_address(home, server(song, statuses=[404]).url, callback={"url": "https://example.org/done"})
    fetcher.turn()
    [id_] = redis.zrange("callbacks", 0, -1)
    record = redis.hgetall(f"callback:{id_}")
    assert record["songhash"] == name
    assert json.loads(json.loads(record["snapshot"])["error"])["code"] == "fetch_failed"
