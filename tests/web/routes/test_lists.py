"""The queue, the buckets, and the calls that empty them."""

import uuid

import pytest

from msaas.errors import QueueUnavailable
from msaas.storage import INPUTS, OUTPUTS
from msaas.web.routes import listing
from tests.support.api import NOBODY, RAW, post, problem


def hashes(count):
    return [str(uuid.UUID(int=n)) for n in range(count)]


def test_the_queue_is_listed_head_first_with_what_is_beside_it(client, queue):
    first, second, third = post(client, 300), post(client, 400), post(client, 500)
    queue.fail(queue.claim("w"), {"code": "x", "detail": "y"}, retry=False)
    queue.claim("w")
    answer = client.get("/apiv1/queue").json
    assert answer["queue"] == [third]
    assert (answer["total"], answer["offset"], answer["limit"]) == (1, 0, 1000)
    assert (answer["dead"], answer["in_work"]) == ([first], [second])
    assert answer["counts"] == {"waiting": 1, "in_work": 1, "dead": 1, "to_fetch": 0, "fetching": 0}


def test_an_empty_queue_is_an_empty_list(client):
    assert client.get("/apiv1/queue").json["queue"] == []


def test_a_long_queue_comes_in_pages(client, redis):
    names = hashes(1100)
    redis.rpush("toWorkers", *names)
    first = client.get("/apiv1/queue").json
    assert (first["queue"], first["total"]) == (names[:1000], 1100)
    assert client.get("/apiv1/queue?offset=1000").json["queue"] == names[1000:]
    assert client.get("/apiv1/queue?offset=10&limit=5").json["queue"] == names[10:15]
    assert client.get("/apiv1/queue?offset=5000").json["queue"] == []


def test_nonsense_pages_are_refused_by_name(client):
    pages = ["offset=-1", "offset=x", "offset=", "limit=0", "limit=1001", "limit=1e3", "limit=٣", "limit=" + "9" * 5000]
    for page in pages:
        assert page[:5] in problem(client.get(f"/apiv1/queue?{page}"), 422, "invalid_option")


def test_entries_that_are_no_uuid_are_listed_as_they_are(client, redis):
    redis.rpush("toWorkers", "by hand: \u2603")
    assert client.get("/apiv1/queue").json["queue"] == ["by hand: \u2603"]


# --- buckets


def test_each_bucket_is_listed_with_its_objects(client, done):
    assert client.get("/apiv1/bucket").json == {
        INPUTS: [f"{done}.mp3"],
        OUTPUTS: [f"{done}-{stem}.mp3" for stem in ("bass", "drums", "other", "vocals")],
    }


def test_a_bucket_that_is_not_there_yet_is_empty(client, storage):
    for bucket in (INPUTS, OUTPUTS):
        storage.client.remove_bucket(bucket)
    assert client.get("/apiv1/bucket").json == {INPUTS: [], OUTPUTS: []}


def test_a_cut_list_says_so(client, done, monkeypatch):
    answer = client.get("/apiv1/bucket?limit=3").json
    assert len(answer[OUTPUTS]) == 3
    assert answer["truncated"] == [OUTPUTS]
    monkeypatch.setattr(listing, "BUCKET_PAGE", 4)
    assert "truncated" not in client.get("/apiv1/bucket").json


def test_a_bucket_comes_in_pages(client, done):
    pages, after = [], ""
    for _ in range(3):
        page = client.get(f"/apiv1/bucket?bucket={OUTPUTS}&limit=2&after={after}").json
        assert page[INPUTS] == []
        pages.append((len(page[OUTPUTS]), page.get("truncated")))
        after = page[OUTPUTS][-1] if page[OUTPUTS] else after
    assert pages == [(2, [OUTPUTS]), (2, None), (0, None)]
    assert client.get(f"/apiv1/bucket?after={done}.mp3").json[INPUTS] == []


def test_nonsense_pages_of_a_bucket_are_refused_by_name(client):
    for page in ("bucket=waveforms", "bucket=", "after=" + "x" * 1025, "after=%00", "limit=10001"):
        assert page.split("=")[0] in problem(client.get(f"/apiv1/bucket?{page}"), 422, "invalid_option")


# --- emptying them

BOTH = [("get", "/apiv1/delete_contents"), ("delete", "/apiv1/contents")]


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_the_buckets_are_emptied_and_counted(client, storage, done, method, path):
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.json["deleted"]) == (200, 5)
    assert not list(storage.names(INPUTS)) and not list(storage.names(OUTPUTS))
    assert getattr(client, method)(path).json["deleted"] == 0


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_a_job_whose_stems_were_emptied_says_so_until_it_is_separated_again(client, player, song, done, method, path):
    getattr(client, method)(path)
    again = "The stems were removed; post the song again to recreate them."
    [listed] = client.get("/apiv1/jobs").json["jobs"]
    for view in (listed, client.get(f"/apiv1/jobs/{done}").json):
        assert (view["state"], sorted(view["removed"]), view["message"]) == ("done", sorted(view["stems"]), again)
    assert client.post("/apiv1/separate", data=song, **RAW).status_code == 202
    assert "removed" not in client.get(f"/apiv1/jobs/{done}").json
    player.work()
    view = client.get(f"/apiv1/jobs/{done}").json
    assert view["state"] == "done"
    assert not {"removed", "message"} & view.keys()


def test_emptying_is_noted_in_no_job_that_has_not_ended(client, queue, song):
    name = client.post("/apiv1/separate", data=song, **RAW).json["songhash"]
    client.delete("/apiv1/contents")
    queue.note_removed(name, "vocals")
    assert queue.get(name).removed == ""


def test_without_redis_the_buckets_are_emptied_all_the_same(client, queue, storage, done, monkeypatch):
    def away(_seconds):
        raise QueueUnavailable("gone for tea")

    monkeypatch.setattr(client.application.extensions["msaas"].queue, "ended_before", away)
    assert client.delete("/apiv1/contents").json["deleted"] == 5
    assert not storage.stems_of(done)


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_switched_off_they_are_forbidden_and_say_what_switches_them_on(make_app, storage, done, method, path):
    client = make_app(debug_endpoints=False).test_client()
    assert "MSAAS_DEBUG_ENDPOINTS" in problem(getattr(client, method)(path), 403, "forbidden")
    assert len(list(storage.names(OUTPUTS))) == 4


FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/page"},
    {"Referer": "http://localhost.evil.example/"},
    {"Origin": "http://localhost:1"},
]


@pytest.mark.parametrize(("method", "path"), BOTH)
def test_another_sites_page_cannot_empty_them(client, storage, done, method, path):
    for headers in FROM_ELSEWHERE:
        problem(getattr(client, method)(path, headers=headers), 403, "forbidden")
    assert len(list(storage.names(OUTPUTS))) == 4


def test_curl_the_address_bar_and_our_own_page_can(client):
    for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}):
        assert client.get("/apiv1/delete_contents", headers=headers).status_code == 200


def test_head_empties_nothing(client, storage, done):
    assert client.head("/apiv1/delete_contents").status_code == 405
    assert len(list(storage.names(OUTPUTS))) == 4


def test_buckets_that_are_not_there_are_empty_already(client, storage):
    storage.client.remove_bucket(OUTPUTS)
    assert client.delete("/apiv1/contents").json["deleted"] == 0


def test_removing_needs_no_switch(make_app, done):
    client = make_app(debug_endpoints=False).test_client()
    assert client.delete(f"/apiv1/remove/{done}-vocals").status_code == 200
    assert client.delete(f"/apiv1/remove/{NOBODY}-vocals").status_code == 404
