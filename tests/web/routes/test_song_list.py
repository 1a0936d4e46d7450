"""The list of a tenant's songs: `GET /apiv1/jobs`, on a real Valkey."""

from __future__ import annotations

import uuid

import pytest

from msaas.auth.keys import new_key
from msaas.errors import InvalidOption
from msaas.jobs import State
from msaas.library import Filter, SongList
from msaas.library.songs import BATCH
from msaas.queue.worker_registry import Worker
from msaas.settings.api_keys import USE
from tests.support.api import post, problem

URL = "/apiv1/jobs"


def listed(client, **query):
    answer = client.get(URL, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def names(page):
    return [job["songhash"] for job in page["jobs"]]


@pytest.fixture
def songs(redis):
    return SongList(redis)


def submit(queue, count=1, tenant="", **fields):
    found = [str(uuid.uuid4()) for _ in range(count)]
    for songhash in found:
        queue.submit(songhash, {"model": "htdemucs", "tenant": tenant} | fields)
    return found


def test_songs_come_in_the_order_of_their_posts_the_last_first(client, player):
    posted = [post(client, 400), post(client, 500), post(client, 600)]
    player.work()
    page = listed(client)
    assert names(page) == posted[::-1]
    assert [job["state"] for job in page["jobs"]] == ["queued", "queued", "done"]
    assert page["jobs"][2]["stems"].keys() == client.get(f"{URL}/{posted[0]}").json["stems"].keys()
    assert page["next"] is None


def test_the_list_says_what_each_song_waits_for(client, queue):
    mine, other = (submit(queue, model=model)[0] for model in ("htdemucs", "htdemucs_ft"))
    queue.announce(Worker("w", ("htdemucs",)))
    waits = {job["songhash"]: job["waiting_for"] for job in listed(client)["jobs"]}
    assert waits[mine] is None
    assert waits[other]["code"] == "model_not_offered"
    assert waits[other] == client.get(f"{URL}/{other}").json["waiting_for"]
    queue.cancel(other)
    assert {job["waiting_for"] for job in listed(client)["jobs"]} == {None}


def test_a_song_that_is_posted_again_is_listed_once_and_its_last_separation_counts(client, queue):
    first, second = post(client, 400), post(client, 500)
    assert post(client, 400) == first  # known: it keeps its place
    assert names(listed(client)) == [second, first]
    queue.cancel(first)
    post(client, 400)
    assert names(listed(client)) == [first, second]


def test_pages_follow_each_other_without_gap_or_repetition(client, queue, redis):
    posted = submit(queue, 23)
    redis.zadd("songs:", dict.fromkeys(posted[5:15], redis.zscore("songs:", posted[5])))  # within one millisecond
    found, before = [], ""
    while True:
        page = listed(client, limit=4, before=before)
        found += names(page)
        if not (before := page["next"]):
            break
        assert len(page["jobs"]) == 4
    assert sorted(found) == sorted(posted)


def test_more_songs_than_one_batch(queue, songs):
    posted = submit(queue, BATCH + 7)
    page = songs.page("", len(posted) + 1)
    assert sorted(job.songhash for job in page.jobs) == sorted(posted)  # several are of the same millisecond
    assert [job.created_at for job in page.jobs] == sorted((job.created_at for job in page.jobs), reverse=True)
    assert page.next == ""


def test_songs_can_be_searched_and_filtered(client, queue, songs):
    tagged = '{"filename": "x.mp3", "tags": {"title": "Größe", "artist": "Anna"}}'
    (one,) = submit(queue, upload=tagged)
    (two,) = submit(queue, upload='{"filename": "harbour lights.mp3"}')
    queue.cancel(two)
    assert names(listed(client, q="GRÖSSE")) == [one]
    assert names(listed(client, q="harbour")) == [two]
    assert names(listed(client, state="cancelled")) == [two]
    assert names(listed(client, state="queued", q="harbour")) == []
    assert [job.songhash for job in songs.page("", 5, only=Filter(State.QUEUED)).jobs] == [one]


def test_a_tenant_sees_its_own_songs_alone(make_app, song):
    held = {name: new_key(name, (USE,)) for name in ("anna", "ben")}
    client = make_app(api_keys=tuple(key for _, key in held.values())).test_client()
    headers = {name: {"Authorization": f"Bearer {text}"} for name, (text, _) in held.items()}
    posted = client.post("/apiv1/separate", data=song, content_type="audio/wav", headers=headers["anna"]).json
    assert names(client.get(URL, headers=headers["anna"]).json) == [posted["songhash"]]
    assert names(client.get(URL, headers=headers["ben"]).json) == []
    problem(client.get(URL), 401, "key_missing")


def test_a_retired_song_is_not_listed_nor_one_whose_record_is_lost(client, queue, redis):
    old, lost, kept = submit(queue, 3)
    queue.cancel(old)
    assert queue.retire(old, 0) == "forgotten"
    assert redis.zcard("songs:") == 2
    redis.delete(f"job:{lost}")
    assert names(listed(client)) == [kept]
    assert redis.zcard("songs:") == 1


def test_a_song_without_stems_is_not_listed_until_it_is_posted_again(client, player):
    songhash = post(client, 400)
    player.work()
    stems = list(client.get(f"{URL}/{songhash}").json["stems"])
    for stem in stems:
        assert names(listed(client)) == [songhash]
        assert client.delete(f"/apiv1/remove/{songhash}-{stem}").status_code == 200
    assert names(listed(client)) == []
    post(client, 400)
    assert names(listed(client)) == [songhash]


def test_a_provisional_job_is_listed_until_it_leads_to_a_song(client, redis, queue):
    provisional, song = submit(queue, 2)
    redis.hset(f"job:{provisional}", mapping={"state": "done", "leads_to": song})
    assert names(listed(client)) == [song]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"state": "asleep"},
        {"before": "yesterday"},
        {"before": "1-2"},
        {"q": "x" * 201},
        {"stat": ""},
    ],
)
def test_bad_queries_are_refused(client, query):
    problem(client.get(URL, query_string=query), 422, "invalid_option")


def test_a_damaged_list_is_an_empty_one_and_fails_no_post(client, redis, songs):
    redis.set("songs:", "damaged")
    posted = post(client, 400)
    assert names(listed(client)) == []
    redis.delete("songs:")
    redis.zadd("songs:", {posted: float("inf"), "not a songhash": 5, str(uuid.uuid4()): -3})
    assert listed(client)["next"] is None
    with pytest.raises(InvalidOption):
        songs.page("", 5, before="x")
