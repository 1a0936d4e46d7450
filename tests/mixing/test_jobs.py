"""A mix is a job: asked for, named, cancelled, taken over after a kill, deleted with its song, seen by its tenant."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from msaas import failpoints
from msaas.auth.keys import new_key
from msaas.errors import InvalidOption
from msaas.maintenance.housekeeping import Housekeeper
from msaas.mixing.request import MixRequest
from msaas.mixing.run import MixRun
from msaas.mixing.song_mixes import SongMixes
from msaas.storage import OUTPUTS
from tests.mixing.conftest import Studio
from tests.support.api import NOBODY, problem

STEMS = ("bass", "drums", "vocals")


@pytest.fixture
def mixed(make_song):
    return make_song()


def objects(storage) -> set[str]:
    return {item.name for item in storage.names(OUTPUTS)}


# --- the request


def test_different_ways_to_the_same_mix_have_one_name():
    ways = [
        {"levels": {"vocals": {"solo": True}}},
        {"levels": {"bass": {"mute": True}, "drums": {"gain_db": "-inf", "pan": 1}}, "format": "mp3"},
        {"levels": {"vocals": {"gain_db": 0, "pan": -0.0, "solo": True}, "bass": {"gain_db": -3}}, "bitrate": 320},
    ]
    assert len({MixRequest.parse(way, STEMS).name(NOBODY) for way in ways}) == 1
    others = [{"levels": {"vocals": {"solo": True, "gain_db": -1}}}, {"levels": {"bass": {"solo": True}}}, {}]
    assert len({MixRequest.parse(way, STEMS).name(NOBODY) for way in (*others, ways[0])}) == 4


def test_a_record_reads_as_it_was_written():
    asked = MixRequest.parse({"levels": {"bass": {"gain_db": -1.25, "pan": 0.3}}, "format": "wav", "start": 1}, STEMS)
    assert MixRequest.from_fields(asked.to_fields()) == asked


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"level": {}}, "unknown member 'level'"),
        ({"levels": []}, "levels takes an object"),
        ({"levels": {"guitar": {}}}, "levels names 'guitar'"),
        ({"levels": {"bass": {"db": 1}}}, "unknown member levels.bass.'db'"),
        ({"levels": {"bass": 3}}, "the level of bass is an object"),
        ({"levels": {"bass": {"gain_db": 25}}}, "levels.bass.gain_db '25' is not a number from -120 to 24"),
        ({"levels": {"bass": {"gain_db": True}}}, "is not a number"),
        ({"levels": {"bass": {"pan": "left"}}}, "levels.bass.pan 'left' is not a number from -1 to 1"),
        ({"levels": {"bass": {"mute": "maybe"}}}, "levels.bass.mute 'maybe' is not true or false"),
        ({"levels": {stem: {"mute": True} for stem in STEMS}}, "every stem of this mix is silent"),
        ({"format": "stems.m4a"}, "a mix is one track"),
        ({"format": "flac", "bitrate": 128}, "bitrate belongs to"),
        ({"start": 2, "end": 1}, "end 1 is not after start 2"),
        ({"model": "htdemucs"}, "unknown member 'model'"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(given, reason):
    with pytest.raises(InvalidOption) as error:
        MixRequest.parse(given, STEMS)
    assert reason in str(error.value)


def test_a_mix_is_rendered_once_however_often_it_is_asked_for(studio, mixed):
    first = studio.post(mixed, format="wav")
    again = studio.post(mixed, format="wav")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.headers["Location"] == f"/apiv1/jobs/{first.json['songhash']}"
    assert studio.mixes.counts().waiting == 1
    studio.renderer.turn()
    known = studio.post(mixed, format="wav")
    assert (known.status_code, known.json["state"]) == (200, "done")
    assert studio.mixes.counts().waiting == 0


def test_a_mix_whose_file_was_removed_is_rendered_again(studio, mixed, storage):
    view = studio.mix(mixed, format="wav")
    assert studio.client.delete(f"/apiv1/remove/{view['songhash']}-mix").status_code == 200
    assert studio.mix(mixed, format="wav")["songhash"] == view["songhash"]
    assert f"{view['songhash']}-mix.wav" in objects(storage)


def test_what_cannot_be_mixed_is_refused(studio, mixed, client, queue, make_song):
    problem(studio.post(replace(mixed, songhash=NOBODY)), 404, "job_unknown")
    view = studio.mix(mixed, format="wav")
    problem(studio.post(replace(mixed, songhash=view["songhash"])), 409, "conflict")
    problem(studio.post(mixed, start=1000), 422, "invalid_option")
    problem(client.post(mixed.path, data="{}", content_type="text/plain"), 415, "unsupported_body")
    problem(client.post(mixed.path, data="[]", content_type="application/json"), 400, "bad_json")
    client.delete(f"/apiv1/remove/{mixed.songhash}-bass")
    problem(studio.post(mixed), 404, "track_removed")
    assert studio.post(mixed, levels={"bass": {"mute": True}}).status_code == 202  # the others are there


def test_a_song_in_work_has_no_mix_yet(studio, mixed, queue, client):
    other = client.post("/apiv1/separate", data=b"RIFF", content_type="audio/wav").json["songhash"]
    problem(studio.post(replace(mixed, songhash=other)), 404, "job_not_done")
    assert queue.waiting() == [other]


# --- its life


def test_a_mix_is_no_song_of_the_list_and_waits_in_no_workers_queue(studio, mixed, queue, client):
    mix = studio.post(mixed).json["songhash"]
    assert queue.waiting() == []
    assert [job["songhash"] for job in client.get("/apiv1/jobs").json["jobs"]] == [mixed.songhash]
    view = studio.view(mix)
    assert (view["state"], view["queue_position"]) == ("queued", 0)


def test_a_waiting_mix_is_cancelled(studio, mixed, storage):
    mix = studio.post(mixed).json["songhash"]
    assert studio.client.delete(f"/apiv1/jobs/{mix}").json["state"] == "cancelled"
    assert studio.mixes.counts().waiting == 0
    assert studio.post(mixed).status_code == 202  # and can be asked for again


def test_a_mix_that_is_cancelled_while_it_is_rendered_leaves_nothing(studio, mixed, storage, monkeypatch):
    mix = studio.post(mixed).json["songhash"]
    cancel = lambda _name: studio.client.delete(f"/apiv1/jobs/{mix}")  # noqa: E731
    monkeypatch.setattr(failpoints, "hit", lambda name: cancel(name) if name == "after-mixing" else None)
    studio.renderer.turn()
    assert studio.view(mix)["state"] == "cancelled"
    assert f"{mix}-mix.mp3" not in objects(storage)
    assert list(studio.renderer.context.scratch_dir.iterdir()) == []


def test_a_process_that_stops_gives_its_mix_back(studio, mixed):
    mix = studio.post(mixed).json["songhash"]
    stopping = threading.Event()
    stopping.set()
    claim = studio.mixes.claim("one")
    MixRun(studio.renderer.context, claim, stopping).execute()
    assert (studio.view(mix)["state"], studio.mixes.waiting()) == ("queued", [mix])


def test_a_mix_of_a_dead_process_is_rendered_by_another(studio, mixed, queue, storage, redis):
    mix = studio.post(mixed, format="wav").json["songhash"]
    assert studio.mixes.claim("a process that was killed")
    redis.zadd("toMixers:leases", {mix: 1})
    Housekeeper(queue, storage, mixes=studio.mixes).reap()
    studio.renderer.turn()
    view = studio.view(mix)
    assert (view["state"], view["attempts"]) == ("done", 2)


def test_a_mix_whose_song_is_gone_fails_with_the_reason(studio, mixed, queue):
    mix = studio.post(mixed).json["songhash"]
    queue.redis.delete(f"job:{mixed.songhash}")
    studio.renderer.turn()
    view = studio.view(mix)
    assert (view["state"], view["error"]["code"]) == ("failed", "object_missing")


def test_a_damaged_record_fails_and_is_posted_again(studio, mixed, redis):
    mix = studio.post(mixed).json["songhash"]
    redis.hset(f"job:{mix}", "mix", '{"levels": {"bass": {"gain_db": 1e9}}}')
    studio.renderer.turn()
    view = studio.view(mix)
    assert (view["state"], view["error"]["code"]) == ("failed", "record_broken")
    assert "mix" not in view
    assert studio.mix(mixed)["songhash"] == mix


# --- deleted with the song


def test_the_mixes_go_with_the_last_stem_of_the_song(studio, mixed, redis, storage):
    made, waiting = studio.mix(mixed)["songhash"], studio.post(mixed, format="wav").json["songhash"]
    studio.client.delete(f"/apiv1/remove/{mixed.songhash}-bass")
    assert studio.view(made)["state"] == "done"
    studio.client.delete(f"/apiv1/remove/{mixed.songhash}-vocals")
    assert [studio.client.get(f"/apiv1/jobs/{mix}").status_code for mix in (made, waiting)] == [404, 404]
    assert objects(storage) == set()
    assert redis.exists(f"mixes:{mixed.songhash}") == 0
    assert studio.mixes.counts().waiting == 0


def test_the_mixes_expire_with_the_song(studio, mixed, redis, queue, storage):
    mix = studio.mix(mixed)["songhash"]
    redis.hset(f"job:{mixed.songhash}", "finished_ms", "1")
    redis.delete(f"held:{mixed.songhash}", f"held:{mix}")
    forget = SongMixes(studio.mixes, storage).forget
    Housekeeper(queue, storage, mixes=studio.mixes, forget=forget, retention_seconds=3600).sweep()
    assert objects(storage) == set()
    assert [redis.exists(key) for key in (f"job:{mix}", f"job:{mixed.songhash}", f"mixes:{mixed.songhash}")] == [
        0,
        0,
        0,
    ]


def test_a_mix_that_expires_alone_leaves_the_song(studio, mixed, redis, queue, storage):
    mix = studio.mix(mixed)["songhash"]
    redis.hset(f"job:{mix}", "finished_ms", "1")
    redis.delete(f"held:{mix}")
    Housekeeper(queue, storage, mixes=studio.mixes, retention_seconds=3600).sweep()
    assert studio.client.get(f"/apiv1/jobs/{mix}").status_code == 404
    assert redis.exists(f"mixes:{mixed.songhash}") == 0
    assert objects(storage) == {f"{mixed.songhash}-{stem}.wav" for stem in mixed.stems}


def test_a_song_is_not_deleted_while_a_mix_of_it_is_rendered(studio, mixed, redis, queue, monkeypatch):
    studio.post(mixed)
    redis.hset(f"job:{mixed.songhash}", "finished_ms", "1")
    redis.delete(f"held:{mixed.songhash}")
    outcomes = []
    retire = lambda: outcomes.append(queue.retire(mixed.songhash, 0))  # noqa: E731
    monkeypatch.setattr(failpoints, "hit", lambda name: retire() if name == "before-mixing" else None)
    studio.renderer.turn()
    assert outcomes == [""]


# --- tenants and limits


def test_a_mix_belongs_to_the_tenant_of_its_song(make_app, queue, storage, renderer, mixes, make_song, tmp_path, redis):
    keys = {who: new_key(who, ["use"]) for who in ("anna", "ben")}
    locked = make_app(api_keys=tuple(key for _, key in keys.values())).test_client()
    headers = {who: {"Authorization": f"Bearer {text}"} for who, (text, _) in keys.items()}
    song = make_song()
    redis.hset(f"job:{song.songhash}", "tenant", "anna")
    anna, ben = (Studio(locked, renderer, mixes, storage, tmp_path, headers[who]) for who in ("anna", "ben"))
    problem(ben.post(song), 404, "job_unknown")
    view = anna.mix(song, format="wav")
    for path in (f"/apiv1/jobs/{view['songhash']}", view["stems"]["mix"], f"/apiv1/jobs/{view['songhash']}/links"):
        assert [locked.get(path, headers=headers[who]).status_code for who in ("anna", "ben")] == [200, 404]
    links = locked.get(f"/apiv1/jobs/{view['songhash']}/links", headers=headers["anna"]).json
    assert locked.get(links["stems"]["mix"]).status_code == 200  # by its ticket


def test_a_mix_counts_as_a_post_and_as_an_open_song(make_app, make_song, studio):
    song = make_song()
    client = make_app(max_songs_per_caller=1).test_client()
    assert client.post(song.path, json={}).status_code == 202
    problem(client.post(song.path, json={"format": "wav"}), 429, "too_many_songs")
    studio.renderer.turn()
    assert client.post(song.path, json={"format": "wav"}).status_code == 202
    limited = make_app(rate_limit_per_minute=1).test_client()
    limited.post(song.path, json={})
    problem(limited.post(song.path, json={}), 429, "rate_limited")


def test_a_mix_takes_nothing_of_the_audio_of_the_day(make_app, make_song, studio, redis):
    song = make_song()
    client = make_app(daily_audio_minutes=1).test_client()
    before = redis.hgetall("quota:address 127.0.0.1:audio")
    assert client.post(song.path, json={}).status_code == 202
    studio.renderer.turn()
    assert redis.hgetall("quota:address 127.0.0.1:audio") == before


def test_choices_that_change_nothing_have_one_name():
    ways = [{}, {"end": 2.0}, {"end": 99.5}, {"start": 0.000001}, {"sample_rate": 44_100}]
    names = {MixRequest.parse(way, STEMS).of_song(44_100, 88_200).name(NOBODY) for way in ways}
    assert len(names) == 1


@pytest.mark.parametrize("part", [{"start": 1, "end": 1.000001}, {"start": 2.0}, {"start": 7}])
def test_a_part_without_a_sample_is_refused(part):
    with pytest.raises(InvalidOption, match="the part has no sample: the song ends after 2"):
        MixRequest.parse(part, STEMS).of_song(44_100, 88_200)
