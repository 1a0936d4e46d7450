"""Links by which a person without a key reads one song: what they open, and when they end."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from msaas.maintenance.housekeeping import Housekeeper
from msaas.mixing.song_mixes import SongMixes
from msaas.queue import MIX_KEYS, Queue
from msaas.sharing.shares import MAX_SHARES, Shares
from msaas.storage import OUTPUTS
from msaas.wiring.background import forgetting
from tests.auth.conftest import annas, app, ask, client, held, post
from tests.auth.test_gate import TABLE
from tests.support.api import URL, make_app, player, problem, scratch, song_bytes

__all__ = ["annas", "app", "ask", "client", "held", "make_app", "player", "post", "scratch"]

OPENED = (
    ("get", "/apiv1/jobs/{song}"),
    ("get", "/apiv1/jobs/{song}/events"),
    ("get", "/apiv1/jobs/{song}/links"),
    ("get", "/apiv1/jobs/{song}/stems.zip"),
    ("head", "/apiv1/jobs/{song}/stems.zip"),
    ("get", "/apiv1/jobs/{song}/waveforms"),
    ("get", "/apiv1/track/{song}-vocals"),
    ("head", "/apiv1/track/{song}-vocals"),
    ("get", "/apiv1/track/{song}-vocals.mp3"),
    ("get", "/apiv1/share"),
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def share(ask, annas) -> Any:
    """share(days=…): the answer to a new link of Anna's song."""

    def share(**asked: Any) -> Any:
        answer = ask("anna", "post", f"/apiv1/jobs/{annas}/shares", json=asked)
        assert answer.status_code == 201, answer.text
        return answer.json

    return share


@pytest.fixture
def opened(client, share) -> Any:
    """opened(method, path): the answer to the holder of a link."""
    token = share()["token"]
    return lambda method, path, **more: client.open(path, method=method.upper(), headers=bearer(token), **more)


@pytest.mark.parametrize(("method", "path"), sorted({*TABLE, ("get", "/apiv1/share")}))
def test_a_link_opens_one_song_for_reading_and_nothing_else(method, path, opened, annas, storage):
    storage.put_waveforms(annas, json.dumps({"done_samples": 1, "total_samples": 1}).encode())
    found = opened(method, path.format(song=annas)).status_code
    if (method, path) in OPENED:
        assert found == 200
    elif set(TABLE[method, path]) == {200} or TABLE[method, path][0] in (204, 404):  # for everybody
        assert found == TABLE[method, path][0]
    else:
        assert found in (401, 403)


@pytest.mark.parametrize(("method", "path"), [one for one in OPENED if "{song}" in one[1]])
def test_other_songs_of_its_tenant_are_unknown_to_a_link(method, path, opened, post, player):
    other = post("anna", hertz=880).json["songhash"]
    player.work()
    answer = opened(method, path.format(song=other))
    assert answer.status_code == 404
    if method == "get":
        assert answer.json["code"] == "job_unknown"


def test_a_link_says_what_it_shares(share, client, annas):
    made = share(days=2, mix="mix=vocals:-6:-30:m&loop=1-2&tempo=75")
    assert made["url"] == f"/#/share/{made['token']}"
    shared = client.get("/apiv1/share", headers=bearer(made["token"])).json
    assert shared == {
        "songhash": annas,
        "name": None,
        "mix": "mix=vocals:-6:-30:m&loop=1-2&tempo=75",
        "expires_at": made["expires_at"],
    }


def test_a_link_is_listed_without_its_token_and_revoked(share, ask, client, annas):
    first, second = share(), share(days=1)
    path = f"/apiv1/jobs/{annas}/shares"
    listed = ask("anna", "get", path)
    assert {one["id"] for one in listed.json["shares"]} == {first["id"], second["id"]}
    assert first["token"] not in listed.text
    problem(ask("ben", "delete", f"{path}/{first['id']}"), 404, "job_unknown")
    assert ask("anna", "delete", f"{path}/{first['id']}").json["shares"] == listed.json["shares"][:1]
    problem(ask("anna", "delete", f"{path}/{first['id']}"), 404, "share_unknown")
    problem(client.get("/apiv1/share", headers=bearer(first["token"])), 401, "key_unknown")
    assert client.get("/apiv1/share", headers=bearer(second["token"])).status_code == 200


def test_a_link_of_another_song_is_not_revoked_through_this_one(share, ask, post, player, client):
    other = post("anna", hertz=880).json["songhash"]
    player.work()
    made = share()
    problem(ask("anna", "delete", f"/apiv1/jobs/{other}/shares/{made['id']}"), 404, "share_unknown")
    assert client.get("/apiv1/share", headers=bearer(made["token"])).status_code == 200


def test_redis_keeps_no_token(share, redis):
    made = share()
    kept = json.dumps({key: redis.hgetall(key) if redis.type(key) == "hash" else "" for key in redis.keys("share*")})
    assert made["id"] in kept
    assert made["token"].rpartition("_")[2] not in kept


def test_a_link_expires(share, client, redis):
    made = share(days=1)
    key = f"share:{made['id']}"
    assert 0 < redis.pttl(key) <= 86_400_000
    redis.hset(key, "expires_ms", "1")
    problem(client.get("/apiv1/share", headers=bearer(made["token"])), 401, "key_unknown")


@pytest.mark.parametrize("field", ["digest", "songhash", "created_ms", "expires_ms"])
def test_a_damaged_link_opens_nothing(share, client, redis, ask, annas, field):
    made = share()
    redis.hset(f"share:{made['id']}", field, "")
    assert client.get("/apiv1/share", headers=bearer(made["token"])).status_code == 401
    assert ask("anna", "get", f"/apiv1/jobs/{annas}/shares").json["shares"] == []


@pytest.mark.parametrize("token", ["share_", "share_x_y", "share_0123456789abcdef_" + "A" * 43, "share_" + "é" * 50])
def test_a_token_that_is_none_opens_nothing(client, token):
    answer = client.get("/apiv1/share", headers=bearer(token))
    problem(answer, 401, "key_unknown")
    assert "songhash" not in answer.json


def test_tokens_that_are_tried_count_as_calls_of_their_address(make_app, held):
    client = make_app(api_keys=tuple(held.keys), rate_limit_per_minute=1).test_client()
    tried = {client.get("/apiv1/share", headers=bearer(f"share_{n:016x}_{'A' * 43}")).status_code for n in range(700)}
    assert tried == {401, 429}


def test_a_link_ends_with_its_song(share, ask, client, annas, post, player):
    made = share()
    for stem in ("vocals", "drums", "bass", "other"):
        assert ask("anna", "delete", f"/apiv1/remove/{annas}-{stem}").status_code == 200
    assert client.get("/apiv1/share", headers=bearer(made["token"])).status_code == 401
    assert post("anna").status_code == 202  # the same song again
    player.work()
    assert client.get("/apiv1/share", headers=bearer(made["token"])).status_code == 401


def test_a_link_ends_when_its_song_expires(share, client, annas, queue, storage, redis):
    made = share()
    redis.hset(f"job:{annas}", "finished_ms", "1")
    redis.delete(f"held:{annas}")
    forget = forgetting(SongMixes(Queue(redis, keys=MIX_KEYS), storage), Shares(redis))
    Housekeeper(queue, storage, forget=forget, retention_seconds=3600).sweep()
    assert redis.keys("share*") == []
    assert client.get("/apiv1/share", headers=bearer(made["token"])).status_code == 401


def test_a_browser_downloads_by_the_tickets_of_a_link(share, client, annas, ask, post, player):
    made = share()
    links = client.get(f"/apiv1/jobs/{annas}/links", headers=bearer(made["token"])).json
    assert client.get(links["stems"]["vocals"]).status_code == 200
    assert client.get(links["stems_zip"]).status_code == 200
    ticket = links["stems"]["vocals"].partition("?")[2]
    assert client.get(f"/apiv1/track/{annas}-bass?{ticket}").status_code == 401
    other = post("anna", hertz=880).json["songhash"]
    player.work()
    assert client.get(f"/apiv1/track/{other}-vocals?{ticket}").status_code == 401
    ask("anna", "delete", f"/apiv1/jobs/{annas}/shares/{made['id']}")
    assert client.get(links["stems"]["vocals"]).status_code == 401


def test_a_link_does_not_show_the_callbacks_of_the_tenant(ask, client, player, held):
    callback = json.dumps({"url": "https://example.org/secret", "data": 1})
    posted = ask(
        "anna",
        "post",
        URL,
        data=song_bytes(hertz=300),
        content_type="audio/wav",
        query_string={"callback": callback},
    )
    song = posted.json["songhash"]
    player.work()
    token = ask("anna", "post", f"/apiv1/jobs/{song}/shares", json={}).json["token"]
    assert "example.org" in ask("anna", "get", f"/apiv1/jobs/{song}").text
    for path in (f"/apiv1/jobs/{song}", f"/apiv1/jobs/{song}/events"):
        text = client.get(path, headers=bearer(token)).text
        assert "example.org" not in text
        assert "anna" not in text


def test_a_link_opens_the_mixes_of_its_song(share, ask, client, annas, storage, queue, redis, post, player):
    mix = ask("anna", "post", f"/apiv1/jobs/{annas}/mix", json={}).json["songhash"]
    other = post("anna", hertz=880).json["songhash"]
    player.work()
    foreign = ask("anna", "post", f"/apiv1/jobs/{other}/mix", json={}).json["songhash"]
    token = share()["token"]
    found = [client.get(f"/apiv1/jobs/{one}", headers=bearer(token)).status_code for one in (mix, foreign)]
    assert found == [200, 404]
    problem(client.post(f"/apiv1/jobs/{annas}/mix", json={}, headers=bearer(token)), 403, "scope_missing")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"days": 0}, "days is a number above 0 and at most 30"),
        ({"days": 31}, "at most 30"),
        ({"days": True}, "days is a number"),
        ({"mix": "a b"}, "mix is not mix="),
        ({"mix": "x" * 2001}, "mix is not mix="),
        ({"mix": "mix=vocals:-6"}, "'vocals:-6' is not <stem>:<decibels>"),
        ({"mix": "mix=tuba:-6:0:m"}, "names 'tuba'; the stems of this song are"),
        ({"until": 1}, "unknown member 'until'"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(ask, annas, asked, reason):
    assert reason in problem(ask("anna", "post", f"/apiv1/jobs/{annas}/shares", json=asked), 422, "invalid_option")


def test_an_operator_decides_how_long_links_last_or_that_there_are_none(make_app, held, annas):
    path, headers = f"/apiv1/jobs/{annas}/shares", held.headers("anna")
    short = make_app(api_keys=tuple(held.keys), share_days=2).test_client()
    assert short.post(path, json={"days": 2}, headers=headers).status_code == 201
    assert short.post(path, json={}, headers=headers).status_code == 201  # the default of 7 days is cut to the limit
    none = make_app(api_keys=tuple(held.keys), share_days=0).test_client()
    problem(none.post(path, json={}, headers=headers), 403, "forbidden")


def test_only_a_done_song_of_ones_own_is_shared(ask, annas, post):
    waiting = post("anna", hertz=880).json["songhash"]
    problem(ask("anna", "post", f"/apiv1/jobs/{waiting}/shares", json={}), 404, "job_not_done")
    problem(ask("ben", "post", f"/apiv1/jobs/{annas}/shares", json={}), 404, "job_unknown")
    assert ask("anna reading", "post", f"/apiv1/jobs/{annas}/shares", json={}).status_code == 403
    mix = ask("anna", "post", f"/apiv1/jobs/{annas}/mix", json={}).json["songhash"]
    problem(ask("anna", "post", f"/apiv1/jobs/{mix}/shares", json={}), 409, "conflict")


def test_a_song_has_a_limited_number_of_links(redis, annas, ask):
    shares = Shares(redis)
    for _ in range(MAX_SHARES):
        shares.create(annas, "anna", 60)
    problem(ask("anna", "post", f"/apiv1/jobs/{annas}/shares", json={}), 409, "conflict")
    assert len(ask("anna", "get", f"/apiv1/jobs/{annas}/shares").json["shares"]) == MAX_SHARES


def test_links_work_without_keys_and_end_there_too(make_app, player):
    client = make_app().test_client()
    song = client.post(URL, data=song_bytes(), content_type="audio/wav").json["songhash"]
    player.work()
    made = client.post(f"/apiv1/jobs/{song}/shares", json={}).json
    headers = bearer(made["token"])
    assert client.get("/apiv1/share", headers=headers).json["songhash"] == song
    assert client.get(f"/apiv1/jobs/{song}", headers=headers).status_code == 200
    client.delete(f"/apiv1/jobs/{song}/shares/{made['id']}")
    problem(client.get("/apiv1/share", headers=headers), 401, "key_unknown")
    problem(client.get("/apiv1/share"), 401, "key_unknown")


def test_a_song_whose_stems_were_removed_is_not_shared(ask, annas, storage):
    for name in list(storage.stems_of(annas)):
        storage.remove(OUTPUTS, [name])
    problem(ask("anna", "post", f"/apiv1/jobs/{annas}/shares", json={}), 404, "track_removed")
    assert ask("anna", "get", f"/apiv1/jobs/{annas}/shares").json["shares"] == []


def test_a_token_in_a_path_is_refused_and_not_logged(client, share, caplog):
    token = share()["token"]
    for path in (f"/share/{token}", f"/apiv1/jobs/{token}", f"/?x={token}"):
        answer = client.get(path)
        problem(answer, 400, "key_in_url")
        assert token not in answer.text
    assert token not in caplog.text


def test_links_made_at_the_same_time_do_not_exceed_the_limit(redis):
    shares = Shares(redis)
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(shares.create, "song", "anna", 60.0) for _ in range(MAX_SHARES + 30)]
    assert sum(future.exception() is None for future in made) <= MAX_SHARES
    assert len(shares.of("song")) <= MAX_SHARES


def test_calls_with_a_link_are_counted_for_the_link(make_app, held, annas):
    client = make_app(api_keys=tuple(held.keys), rate_limit_per_minute=1).test_client()
    anna = held.headers("anna")
    token = client.post(f"/apiv1/jobs/{annas}/shares", headers=anna, json={}).json["token"]
    assert 429 in {client.get("/apiv1/share", headers=bearer(token)).status_code for _ in range(700)}
    assert client.get(f"/apiv1/jobs/{annas}", headers=anna).status_code == 200
