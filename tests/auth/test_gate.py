"""Every call × every caller: who is let in, and what the others are told. Two tenants, on real servers."""

from __future__ import annotations

import json
import logging

import pytest

from msaas.auth.keys import new_key
from msaas.auth.scopes import REQUIREMENTS
from msaas.storage import OUTPUTS
from msaas.telemetry.metrics import Metrics
from tests.support.api import URL, as_base64, song_bytes

NOBODYS = "00000000-0000-4000-8000-000000000000"
CALLERS = ("nobody", "wrong", "anna reading", "anna", "ben", "boss")

# what each caller is answered about a song of Anna's that is done
READS = (401, 401, 200, 200, 404, 200)
WRITES = (401, 401, 403, 200, 404, 200)
ADMINS = (401, 401, 403, 403, 403, 200)
ANYBODY = (200,) * 6
TABLE = {
    ("get", "/apiv1/jobs"): (401, 401, 200, 200, 200, 200),  # each its own songs
    ("get", "/apiv1/jobs/{song}"): READS,
    ("get", "/apiv1/jobs/{song}/events"): READS,
    ("get", "/apiv1/jobs/{song}/links"): READS,
    ("get", "/apiv1/jobs/{song}/stems.zip"): READS,
    ("head", "/apiv1/jobs/{song}/stems.zip"): READS,
    ("get", "/apiv1/jobs/{song}/waveforms"): READS,
    ("get", "/apiv1/track/{song}-vocals"): READS,
    ("head", "/apiv1/track/{song}-vocals"): READS,
    ("get", "/apiv1/track/{song}-vocals.mp3"): READS,
    ("post", "/apiv1/jobs/{song}/mix"): (401, 401, 403, 415, 404, 415),  # not JSON: tests/mixing has the rest
    ("post", "/apiv1/jobs/{song}/shares"): (401, 401, 403, 415, 404, 415),  # not JSON: tests/sharing has the rest
    ("get", "/apiv1/jobs/{song}/shares"): WRITES,
    ("delete", "/apiv1/jobs/{song}/shares/0"): (401, 401, 403, 404, 404, 404),
    ("get", "/apiv1/share"): (401,) * 6,  # takes the token of a link
    ("delete", "/apiv1/remove/{song}-vocals"): WRITES,
    ("delete", "/apiv1/jobs/{song}"): (401, 401, 403, 409, 404, 409),  # done: nothing to cancel
    ("post", URL): (401, 401, 403, 202, 202, 202),
    ("options", "/apiv1/uploads"): (204,) * 6,
    ("post", "/apiv1/uploads"): (401, 401, 403, 412, 412, 412),  # not by the protocol: tests/uploads has the rest
    ("head", f"/apiv1/uploads/{'0' * 32}"): (401, 401, 403, 412, 412, 412),
    ("patch", f"/apiv1/uploads/{'0' * 32}"): (401, 401, 403, 412, 412, 412),
    ("delete", f"/apiv1/uploads/{'0' * 32}"): (401, 401, 403, 412, 412, 412),
    ("post", "/apiv1/batches"): (401, 401, 403, 415, 415, 415),  # not JSON: tests/batches has the rest
    ("get", "/apiv1/batches/{song}"): (401, 401, 404, 404, 404, 404),  # a song is not a batch
    ("delete", "/apiv1/batches/{song}"): (401, 401, 403, 404, 404, 404),
    ("get", "/apiv1/models"): (401, 401, 200, 200, 200, 200),
    ("get", "/apiv1/queue"): ADMINS,
    ("get", "/apiv1/bucket"): ADMINS,
    ("delete", "/apiv1/contents"): ADMINS,
    ("get", "/apiv1/delete_contents"): ADMINS,
    ("get", "/"): ANYBODY,
    ("get", "/static/js/main.js"): ANYBODY,
    ("get", "/service-worker.js"): ANYBODY,
    ("get", "/apiv1"): ANYBODY,
    ("get", "/apiv1/docs"): ANYBODY,
    ("get", "/apiv1/openapi.json"): ANYBODY,
    ("get", "/healthz"): ANYBODY,
    ("get", "/readyz"): ANYBODY,
    ("get", "/metrics"): ANYBODY,
    ("get", "/apiv1/nothing"): (404,) * 6,
}


def test_every_route_says_what_it_needs(app):
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == REQUIREMENTS.keys()


def test_the_table_below_has_every_route(app):
    asked = {
        app.url_map.bind("").match(path.format(song=NOBODYS), method=method.upper())[0]
        for method, path in TABLE
        if "nothing" not in path
    }
    assert asked == REQUIREMENTS.keys()


@pytest.mark.parametrize(("method", "path"), TABLE)
def test_who_may_call_what(method, path, ask, annas, storage):
    storage.put_waveforms(annas, json.dumps({"done_samples": 1, "total_samples": 1}).encode())
    body = {"data": song_bytes(hertz=9), "content_type": "audio/wav"} if method == "post" else {}
    found = tuple(ask(who, method, path.format(song=annas), **body).status_code for who in CALLERS[:5])
    assert found == TABLE[method, path][:5]
    if "remove" in path:  # Anna has removed it
        path = path.replace("vocals", "drums")
    assert (
        ask("boss", method, path.format(song=annas), **body).status_code
        == TABLE[method, path.replace("drums", "vocals")][5]
    )


OF_A_SONG = [key for key in TABLE if "{song}" in key[1] and key[0] != "head"]


@pytest.mark.parametrize(("method", "path"), OF_A_SONG)
def test_anothers_song_is_told_of_as_one_that_nobody_sent(method, path, ask, annas):
    answers = [ask("ben", method, path.format(song=song)) for song in (annas, NOBODYS)]
    told = [(one.status_code, one.text.replace(annas, NOBODYS), set(one.headers.keys())) for one in answers]
    assert told[0] == told[1]
    assert answers[0].json["code"] == "job_unknown"


def test_a_song_in_work_is_cancelled_by_its_tenant_and_no_other(ask, post):
    songhash = post("anna").json["songhash"]
    path = f"/apiv1/jobs/{songhash}"
    assert [ask(who, "delete", path).status_code for who in ("nobody", "anna reading", "ben")] == [401, 403, 404]
    assert ask("anna", "get", path).json["state"] == "queued"
    assert ask("anna", "delete", path).json["state"] == "cancelled"


def test_two_tenants_with_one_song_have_two_jobs(post, ask, player):
    anna, ben = post("anna"), post("ben")
    assert (anna.status_code, ben.status_code) == (202, 202)
    assert anna.json["songhash"] != ben.json["songhash"]
    assert post("anna").json["songhash"] == anna.json["songhash"]
    player.work(), player.work()
    for who, job in (("anna", anna), ("ben", ben)):
        assert ask(who, "get", f"/apiv1/track/{job.json['songhash']}-bass").data == player.content("bass")


def test_keys_of_one_name_are_one_tenant(make_app, held, annas, player):
    held.add("anna later", "anna", "use")
    client = make_app(api_keys=tuple(held.keys)).test_client()
    answer = client.post(URL, data=song_bytes(), content_type="audio/wav", headers=held.headers("anna later"))
    assert (answer.status_code, answer.json["songhash"]) == (200, annas)


def test_a_song_pushed_by_hand_or_sent_without_a_key_is_for_admins(ask, redis, make_app):
    redis.rpush("toWorkers", NOBODYS)
    open_ = make_app().test_client()
    before = open_.post(URL, data=song_bytes(), content_type="audio/wav").json["songhash"]
    for songhash in (NOBODYS, before):
        found = [ask(who, "get", f"/apiv1/jobs/{songhash}").status_code for who in ("anna", "boss")]
        assert found == [404, 200]


def test_a_stem_whose_record_is_gone_is_for_admins(ask, annas, redis):
    redis.delete(f"job:{annas}")
    found = [ask(who, "get", f"/apiv1/track/{annas}-vocals").status_code for who in ("anna", "ben", "boss")]
    assert found == [404, 404, 200]


def test_a_job_made_anew_keeps_its_tenant(ask, post, annas, redis):
    assert ask("anna", "delete", f"/apiv1/remove/{annas}-vocals").status_code == 200
    assert post("anna").status_code == 202
    assert redis.hget(f"job:{annas}", "tenant") == "anna"
    assert ask("ben", "get", f"/apiv1/jobs/{annas}").status_code == 404


def test_emptying_the_buckets_takes_the_debug_setting_and_an_admin(make_app, held, annas, storage):
    client = make_app(api_keys=tuple(held.keys), debug_endpoints=False).test_client()
    for method, path in (("get", "/apiv1/delete_contents"), ("delete", "/apiv1/contents")):
        found = [client.open(path, method=method.upper(), headers=held.headers(who)).json["code"] for who in CALLERS]
        assert found == ["key_missing", "key_unknown", *["scope_missing"] * 3, "forbidden"]
    assert len(list(storage.names(OUTPUTS))) == 4


def test_numbers_are_not_for_those_who_come_through_a_proxy(ask):
    outside = {"headers": {"X-Forwarded-For": "203.0.113.9"}}
    found = [ask(who, "get", "/metrics", **dict(outside)).status_code for who in ("nobody", "anna", "boss")]
    assert found == [401, 403, 200]


# --- how one is told


def test_refusals_are_problems_with_a_code_and_a_challenge(ask):
    for who, status, code, challenge in (
        ("nobody", 401, "key_missing", 'Bearer realm="msaas"'),
        ("wrong", 401, "key_unknown", 'Bearer realm="msaas", error="invalid_token"'),
        ("anna", 403, "scope_missing", 'Bearer realm="msaas", error="insufficient_scope", scope="admin"'),
    ):
        answer = ask(who, "get", "/apiv1/queue")
        assert answer.mimetype == "application/problem+json"
        assert (answer.status_code, answer.json["status"], answer.json["code"]) == (status, status, code)
        assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Basic YTpi", "{key}", "Token {key}", "Bearer {key}x"])
def test_a_key_that_does_not_read_bearer_is_none(given, client, held):
    answer = client.get("/apiv1/models", headers={"Authorization": given.format(key=held.texts["anna"])})
    assert answer.status_code == 401


def test_the_scheme_is_read_in_any_case(client, held):
    headers = {"Authorization": f"bearer {held.texts['anna']}"}
    assert client.get("/apiv1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/apiv1/models?key={key}",
        "/apiv1/models?API_KEY=anything",
        "/apiv1/models?access_token={key}",
        "/apiv1/models?token={key}",
        "/apiv1/models?x={key}",
        "/apiv1/models?x=Bearer {key}",
        "/apiv1/models?x=Bearer%20{key}",
        "/apiv1/models?x=%25256d{key}",
        "/apiv1/models?{key}",
        "/apiv1/models?{key}=1",
        "/apiv1/jobs/{key}",
        "/apiv1/track/x-{key}",
        "/apiv1/track/x-{key}.mp3",
        "/apiv1/track/x-msaas%255F{tail}",
        "/static/a,{key}/b",
        "/{key}",
    ],
)
@pytest.mark.parametrize(("who", "method"), [("nobody", "get"), ("anna", "get"), ("nobody", "options")])
def test_a_key_in_an_address_is_refused_and_says_where_it_belongs(path, who, method, ask, held, caplog):
    caplog.set_level(logging.DEBUG)
    key = held.texts["anna"]
    answer = ask(who, method, path.format(key=key, tail=key.removeprefix("msaas_")))
    assert (answer.status_code, answer.json["code"]) == (400, "key_in_url")
    assert "Authorization: Bearer" in answer.json["detail"]
    assert key.removeprefix("msaas_") not in caplog.text + answer.text


def test_a_key_made_elsewhere_is_known_in_an_address_too(make_app, held):
    from msaas.auth.keys import hashed

    own = "0123456789abcdefghijABCDEFGHIJ-own"
    client = make_app(api_keys=(hashed("own", ["use"], own),)).test_client()
    for path in (f"/apiv1/models?name={own}", f"/apiv1/models?x=Bearer+{own}", f"/apiv1/track/x-{own}.mp3", f"/{own}"):
        assert client.get(path).json["code"] == "key_in_url", path
    assert client.get("/apiv1/track/" + "-" * 5000 + own).status_code == 401  # the search for one is bounded


def test_a_long_path_is_cut_in_the_log_and_answered_as_a_problem(client, caplog):
    caplog.set_level(logging.DEBUG)
    for length in (4096, 60_000):
        answer = client.get("/apiv1/jobs/" + "a" * length)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
        assert client.get("/" + "a" * length).json["code"] == "not_found"
    assert max(len(record.getMessage()) for record in caplog.records) < 500


def test_no_key_and_no_part_of_one_is_logged(ask, post, held, caplog, annas):
    caplog.set_level(logging.DEBUG)
    for who in CALLERS:
        ask(who, "get", f"/apiv1/jobs/{annas}")
        ask(who, "get", "/apiv1/queue")
        post(who, hertz=17)
    assert caplog.records
    for text in held.texts.values():
        assert text[6:20] not in caplog.text
    assert not any(key.digest[:16] in caplog.text for key in held.keys)


def test_a_key_in_a_header_a_method_or_a_callback_is_not_logged_either(ask, held, caplog, annas):
    caplog.set_level(logging.DEBUG)
    key = held.texts["anna"]
    headers = dict.fromkeys(("X-Request-Id", "User-Agent", "Referer", "Cookie", "X-Api-Key", "Origin", "Range"), key)
    ask("anna", "get", f"/apiv1/jobs/{annas}", headers=headers)
    ask("nobody", "get", f"/apiv1/jobs/{annas}", headers=headers | {"Authorization": f"Basic {key}"})
    ask("nobody", "get", f"/apiv1/jobs/{annas}", headers={"Authorization": key})
    ask("anna", key, f"/apiv1/jobs/{annas}")
    for number, url in enumerate(
        (f"https://{key}@example.org/", f"https://example.org/{key}?k={key}", f"https://{key}/")
    ):
        body = {"mp3": as_base64(song_bytes(hertz=31 + number)), "callback": {"url": url}}
        ask("anna", "post", URL, json=body)
    assert caplog.records
    assert key.removeprefix("msaas_") not in caplog.text
    assert key.removeprefix("msaas_").upper() not in caplog.text


def test_refusals_are_logged_with_who_what_and_why_and_counted(ask, annas, caplog, app):
    caplog.set_level(logging.WARNING)
    ask("anna", "get", "/apiv1/queue")
    ask("nobody", "get", f"/apiv1/jobs/{annas}")
    ask("ben", "get", f"/apiv1/jobs/{annas}")
    told = [record.getMessage() for record in caplog.records if record.name == "msaas.auth.access_control"]
    for line, parts in zip(
        told,
        [
            ("'key anna'", "GET", "/apiv1/queue", "status=403", "scope_missing"),
            ("'nobody'", annas, "status=401", "key_missing"),
            ("'key ben'", annas, "status=404", "another_tenants_job"),
        ],
        strict=True,
    ):
        assert all(part in line for part in parts), line
    metrics: Metrics = app.extensions["msaas"].metrics
    for code in ("scope_missing", "key_missing", "another_tenants_job"):
        assert metrics.registry.get_sample_value("msaas_requests_refused_total", {"code": code}) == 1


def test_a_key_that_is_taken_away_opens_nothing(make_app, held, annas):
    client = make_app(api_keys=tuple(key for key in held.keys if key.name != "anna")).test_client()
    assert client.get(f"/apiv1/jobs/{annas}", headers=held.headers("anna")).json["code"] == "key_unknown"


def test_without_keys_nothing_is_asked_and_any_key_will_do(make_app, held, redis):
    client = make_app().test_client()
    answer = client.post(URL, data=song_bytes(), content_type="audio/wav", headers=held.headers("wrong"))
    assert answer.status_code == 202
    assert redis.hget(f"job:{answer.json['songhash']}", "tenant") == ""
    assert client.get("/apiv1/queue").status_code == 200


# --- links


def test_a_link_opens_one_file_without_a_header(client, ask, annas, player):
    links = ask("anna reading", "get", f"/apiv1/jobs/{annas}/links").json
    assert client.get(links["stems"]["vocals"]).data == player.content("vocals")
    assert client.get(links["stems_zip"]).status_code == 200
    ticket = links["stems"]["vocals"].partition("?")[2]
    for other in (f"/apiv1/track/{annas}-drums", f"/apiv1/jobs/{annas}/stems.zip", f"/apiv1/jobs/{annas}"):
        assert client.get(f"{other}?{ticket}").status_code == 401
    assert client.delete(f"/apiv1/remove/{annas}-vocals?{ticket}").status_code == 401


def test_a_link_goes_with_its_key(make_app, held, ask, annas):
    link = ask("anna", "get", f"/apiv1/jobs/{annas}/links").json["stems"]["vocals"]
    kept = tuple(key for key in held.keys if "use" not in key.scopes or key.name != "anna")
    assert make_app(api_keys=kept).test_client().get(link).json["code"] == "key_unknown"


def test_an_admin_makes_links_to_anybodys_stems(client, ask, annas):
    link = ask("boss", "get", f"/apiv1/jobs/{annas}/links").json["stems"]["bass"]
    assert client.get(link).status_code == 200


def test_without_keys_links_are_plain(make_app, player):
    client = make_app().test_client()
    songhash = client.post(URL, data=song_bytes(), content_type="audio/wav").json["songhash"]
    assert client.get(f"/apiv1/jobs/{songhash}/links").json["code"] == "job_not_done"
    player.work()
    links = client.get(f"/apiv1/jobs/{songhash}/links").json
    assert links["expires_at"] is None
    assert links["stems"]["vocals"] == f"/apiv1/track/{songhash}-vocals"


def test_a_key_of_several_scopes_may_what_each_allows(make_app):
    text, key = new_key("both", ["read", "admin"])
    client = make_app(api_keys=(key,)).test_client()
    assert client.get("/apiv1/queue", headers={"Authorization": f"Bearer {text}"}).status_code == 200
