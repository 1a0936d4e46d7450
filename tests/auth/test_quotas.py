"""Limits are exact, however many ask at once; what is refused is not counted, and what is known is not charged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from msaas.audio.decode.probe import Probe
from msaas.auth.quotas import (
    AUDIO,
    CALLS,
    POSTS,
    LimitState,
    address_account,
    rate_headers,
)
from msaas.errors import NotAudio
from msaas.options import Options
from msaas.queue.audio_length import AudioLength, declared_seconds, max_seconds
from tests.auth.conftest import ACCOUNT, at_once, quotas, used
from tests.support.api import URL, song_bytes

FIFTY = range(50)


def lasting(seconds):
    def probe(path):
        return Probe(container="w", codec="pcm_s16le", sample_rate=8000, channels=1, duration_seconds=seconds)

    return probe


# --- the windows


def test_fifty_at_once_get_no_more_than_the_limit(redis):
    counted = quotas(redis, posts_per_minute=7)
    found = at_once(lambda _: counted.take(ACCOUNT, POSTS))
    assert Counter(one.refusal is None for one in found) == {True: 7, False: 43}
    assert sorted(one.left for one in found if not one.refusal) == list(range(7))


def test_what_has_left_the_window_counts_no_more(redis):
    counted = quotas(redis, posts_per_minute=2)
    assert not counted.take(ACCOUNT, POSTS).refusal
    assert not counted.take(ACCOUNT, POSTS).refusal
    refused = counted.take(ACCOUNT, POSTS).refusal
    assert refused.code == "rate_limited"
    assert 58 <= refused.retry_after_seconds <= 60
    for slice_, amount in redis.hgetall(key := f"quota:{ACCOUNT}:{POSTS}").items():  # a minute goes by
        redis.hdel(key, slice_)
        redis.hset(key, int(slice_) - 60, amount)
    assert counted.take(ACCOUNT, POSTS).left == 1
    assert len(redis.hgetall(key)) == 1


def test_accounts_and_kinds_of_calls_are_counted_apart_and_forgotten(redis):
    counted = quotas(redis, posts_per_minute=1)
    assert not counted.take(ACCOUNT, POSTS).refusal
    assert counted.take(ACCOUNT, POSTS).refusal
    assert not counted.take("key ben", POSTS).refusal
    assert counted.take(ACCOUNT, CALLS).left == 599
    assert 0 < redis.pttl(f"quota:{ACCOUNT}:{POSTS}") <= 61_000


def test_a_song_that_took_long_to_look_at_costs_further_posts(redis):
    counted = quotas(redis, posts_per_minute=10)
    counted.take(ACCOUNT, POSTS)
    counted.charge_computing(ACCOUNT, 0.2)  # within its one post
    assert counted.take(ACCOUNT, POSTS).left == 8
    counted.charge_computing(ACCOUNT, 2.1)  # eight more
    assert counted.take(ACCOUNT, POSTS).refusal
    assert not counted.take("key ben", POSTS).refusal


def test_without_limits_nothing_is_asked(redis):
    counted = quotas(redis)
    assert counted.take(ACCOUNT, POSTS) is None
    assert counted.audio_room(ACCOUNT, AudioLength(99, 99)) is None
    counted.charge_computing(ACCOUNT, 99)
    assert not redis.keys("quota:*")


# --- over HTTP


def post(client, hertz, **more):
    return client.post(URL, data=song_bytes(hertz=hertz), content_type="audio/wav", **more)


def test_posts_past_the_limit_are_told_when_to_come_again(make_app, held):
    client = make_app(api_keys=tuple(held.keys), rate_limit_per_minute=2).test_client()
    answers = [post(client, hertz, headers=held.headers("anna")) for hertz in (100, 200, 300)]
    assert [one.status_code for one in answers] == [202, 202, 429]
    assert answers[2].mimetype == "application/problem+json"
    assert answers[2].json["code"] == "rate_limited"
    assert 55 <= int(answers[2].headers["Retry-After"]) <= 60
    assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["1", "0", "0"]
    assert {one.headers["X-RateLimit-Limit"] for one in answers} == {"2"}
    assert {one.headers["RateLimit-Policy"] for one in answers} == {'"posts";q=2;w=60'}
    assert answers[0].headers["RateLimit"].startswith('"posts";r=1;t=')
    assert post(client, 300, headers=held.headers("ben")).status_code == 202
    assert client.get("/apiv1/models", headers=held.headers("anna")).headers["X-RateLimit-Limit"] == "600"


@pytest.mark.parametrize("refused", [True, False])
def test_what_looking_at_a_song_took_is_charged_whether_it_is_one_or_not(make_app, refused):
    def probe(path):
        if refused:
            error = NotAudio("no song")
            error.cpu_seconds = 1.0
            raise error
        return replace(lasting(1)(path), cpu_seconds=1.0)

    client = make_app(rate_limit_per_minute=6, probe=probe).test_client()
    found = [post(client, hertz).status_code for hertz in (100, 200, 300)]
    assert found == [422 if refused else 202] * 2 + [429]  # five posts each


def test_rotated_keys_share_their_tenants_quota(make_app, held):
    held.add("anna later", "anna", "use")
    client = make_app(api_keys=tuple(held.keys), rate_limit_per_minute=1).test_client()
    assert post(client, 100, headers=held.headers("anna")).status_code == 202
    assert post(client, 200, headers=held.headers("anna later")).status_code == 429


def test_without_keys_an_address_is_limited(make_app):
    app = make_app(rate_limit_per_minute=1)
    found = [
        post(app.test_client(), hertz, environ_base={"REMOTE_ADDR": address}).status_code
        for hertz, address in enumerate(["192.0.2.1", "192.0.2.1", "192.0.2.2"], 100)
    ]
    assert found == [202, 429, 202]


def test_an_address_told_by_a_proxy_counts_where_the_proxy_is_trusted(make_app):
    def statuses(**changed):
        client = make_app(rate_limit_per_minute=1, **changed).test_client()
        return [
            post(client, hertz, headers={"X-Forwarded-For": address}).status_code
            for hertz, address in enumerate(["192.0.2.1", "192.0.2.2", "198.51.100.7, 192.0.2.2"], 100)
        ]

    assert statuses() == [202, 429, 429]  # anybody may send that header
    assert statuses(trusted_proxies=1) == [200, 202, 429]


def test_a_day_s_audio_is_charged_once_and_told(make_app, held, player, redis):
    client = make_app(api_keys=tuple(held.keys), daily_audio_minutes=1, probe=lasting(25)).test_client()
    headers = held.headers("anna")
    first, second = post(client, 100, headers=headers), post(client, 200, headers=headers)
    assert [first.headers["X-RateLimit-Remaining"], second.headers["X-RateLimit-Remaining"]] == ["35", "10"]
    refused = post(client, 300, headers=headers)
    assert (refused.status_code, refused.json["code"]) == (429, "audio_quota_exceeded")
    assert refused.headers["Retry-After"] == "30"
    assert "unfinished songs" in refused.json["detail"]
    assert f'"{AUDIO}";q=60;w=86400' in refused.headers["RateLimit-Policy"]
    # known already, waiting or done: no charge and no refusal
    assert post(client, 100, headers=headers).status_code == 200
    player.work()
    assert post(client, 100, headers=headers).status_code == 200
    assert post(client, 300, headers=held.headers("ben")).status_code == 202
    assert redis.llen("toWorkers") == 2


def test_what_is_refused_for_want_of_quota_is_not_stored(make_app, storage):
    client = make_app(daily_audio_minutes=1, probe=lasting(61)).test_client()
    assert post(client, 100).status_code == 429
    assert not list(storage.names("input-tracks"))


def test_a_post_that_fails_costs_no_audio(make_app, storage, monkeypatch):
    client = make_app(daily_audio_minutes=1, probe=lasting(50)).test_client()
    assert client.post(URL, data=b"", content_type="audio/wav").status_code == 400
    assert post(client, 100, query_string={"format": "ogg"}).status_code == 422
    assert post(client, 100).status_code == 202


def test_a_full_queue_is_told_and_a_known_song_is_not_refused(make_app, player):
    client = make_app(max_queue=1).test_client()
    assert post(client, 100).status_code == 202
    full = post(client, 200)
    assert (full.status_code, full.json["code"], full.headers["Retry-After"]) == (503, "queue_full", "30")
    assert post(client, 100).status_code == 200
    player.work()
    assert post(client, 200).status_code == 202
    assert post(client, 100).status_code == 200


def test_fifty_posts_at_once_never_exceed_any_limit(make_app, held, redis):
    app = make_app(
        api_keys=tuple(held.keys), rate_limit_per_minute=30, daily_audio_minutes=4, max_queue=9, probe=lasting(24)
    )
    found = at_once(lambda n: post(app.test_client(), 100 + n, headers=held.headers("anna")))
    codes = Counter(one.json.get("code", one.status_code) for one in found)
    assert codes["rate_limited"] == 20
    assert codes[202] == 9 == redis.llen("toWorkers")
    assert used(redis) == 9 * 24


@pytest.mark.parametrize(
    ("codec", "seconds"),
    [("pcm_s16le", 10), ("pcm_s24be", 7), ("pcm_f64le", 3), ("pcm_alaw", 20), ("mp3", 1600), ("aac", 14_400)],
)
def test_the_most_that_a_songs_bytes_can_hold(codec, seconds):
    about = {"duration_seconds": 0.7, "codec": codec, "bytes": 1_600_000, "sample_rate": 40_000, "channels": 2}
    assert max_seconds(about, 14_400) == seconds
    assert max_seconds(about | {"bytes": 10**12}, 14_400) == 14_400
    assert AudioLength.of(about, 14_400) == AudioLength(1, seconds)


def test_a_part_of_a_song_is_charged_as_that_part():
    about = {"duration_seconds": 240.0, "codec": "mp3", "bytes": 4_000_000, "sample_rate": 44_100, "channels": 2}
    part = Options("m", start=30.0, end=45.5)
    assert AudioLength.of(about, 14_400, part) == AudioLength(16, 16)
    assert AudioLength.of(about, 14_400, replace(part, shifts=3)) == AudioLength(47, 47)
    assert AudioLength.of(about, 14_400, Options("m", start=230.0)) == AudioLength(10, 3770)


def test_over_http_a_song_that_may_hold_more_is_charged_more(make_app, redis):
    def probe(path):
        return replace(lasting(0.7)(path), codec="aac")

    client = make_app(daily_audio_minutes=10, max_duration_seconds=300, probe=probe).test_client()
    found = [post(client, hertz) for hertz in (100, 200, 300)]
    assert [one.status_code for one in found] == [202, 202, 429]
    assert [one.headers["X-RateLimit-Remaining"] for one in found] == ["300", "0", "0"]
    assert used(redis, "address 127.0.0.1") == 600


def test_over_http_too_many_songs_are_refused_before_they_are_stored(make_app, storage):
    client = make_app(max_songs_per_caller=1).test_client()
    assert post(client, 100).status_code == 202
    refused = post(client, 200)
    assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (429, "too_many_songs", "30")
    assert post(client, 100).status_code == 200
    assert len(list(storage.names("input-tracks"))) == 1


@pytest.mark.parametrize(
    ("declared", "codec", "seconds"),
    [(59.2, "mp3", 60), (None, "aac", 100), (97_000, "pcm_s16le", 10), (97_000, "mp3", 100), (0.0, "opus", 100)],
)
def test_a_song_that_tells_no_length_or_an_incredible_one_is_charged_by_its_size(declared, codec, seconds):
    about = {"duration_seconds": declared, "codec": codec, "bytes": 1_600_000, "sample_rate": 40_000, "channels": 2}
    assert declared_seconds(about, 14_400) == seconds
    assert declared_seconds(about | {"bytes": 10**10}, 14_400) <= 14_400


@pytest.mark.parametrize(
    ("address", "account"),
    [
        ("192.0.2.1", "address 192.0.2.1"),
        ("2001:db8::1", "address 2001:db8::/64"),
        ("2001:db8::ffff:1", "address 2001:db8::/64"),
        ("::ffff:192.0.2.1", "address 192.0.2.1"),
        ("", "address unknown"),
        ("x", "address unknown"),
    ],
)
def test_an_ipv6_caller_is_one_whatever_address_of_its_network_it_takes(address, account):
    assert address_account(address) == account


def test_of_several_limits_the_old_headers_tell_the_last():
    found = rate_headers([LimitState("posts", 2, 1, 60, 60), LimitState(AUDIO, 600, 10, 900, 86_400)])
    assert found["RateLimit"] == '"posts";r=1;t=60, "audio-seconds";r=10;t=900'
    assert (found["X-RateLimit-Limit"], found["X-RateLimit-Remaining"]) == ("600", "10")
    assert rate_headers([]) == {}
