"""What saved files are called: by the song's tags, by its file, by the link that the post gave."""

import io
import json
import zipfile
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.http import parse_options_header

from msaas.audio.decode.probe import Probe
from msaas.auth.keys import new_key
from msaas.settings.api_keys import USE
from tests.support.api import RAW, STEMS, URL, Player, as_base64, problem

TAGS = {"artist": "MSaaS", "title": "Harbour Lights", "album": "Samples", "track": "2/3", "date": "2026"}
HOSTILE = (
    "../../etc/passwd",
    "a\r\nSet-Cookie: x=y",
    'a"; filename="b.exe',
    "\u202efdp.exe",
    "x" * 10_000 + ".mp3",
    "NUL",
    "C:\\Windows\\song.mp3",
    "日本の歌.flac",
    "🎸🎤.mp3",
    "50% off %41.mp3",
    "<script>alert(1)</script>.mp3",
)


def tagged_probe(tags):
    return lambda path: Probe("mp3", "mp3", 44_100, 2, 0.2, tags=tags)


@pytest.fixture
def tagged(make_app) -> FlaskClient:
    return make_app(probe=tagged_probe(TAGS)).test_client()


def send(client, song, filename="", **more):
    answer = client.post(f"{URL}?{urlencode({'filename': filename} | more)}", data=song, **RAW)
    assert answer.status_code in (200, 202), answer.text
    return answer.json


def saved_as(answer):
    """As a browser reads the header, by RFC 6266."""
    kind, options = parse_options_header(answer.headers["Content-Disposition"])
    assert kind == "attachment"
    return options["filename"]


def test_files_are_called_by_artist_and_title(tagged, player, song):
    posted = send(tagged, song, "07 track.mp3")
    assert posted["name"] == "MSaaS - Harbour Lights"
    player.work()
    job = tagged.get(posted["links"]["named"]).json
    assert (job["name"], job["tags"]) == ("MSaaS - Harbour Lights", TAGS)
    for stem, link in job["stems"].items():
        label = stem.capitalize()
        assert tagged.get(link).headers["Content-Disposition"] == (
            f'attachment; filename="MSaaS - Harbour Lights ({label}).mp3"'
        )
    archive = tagged.get(posted["links"]["stems_zip"])
    assert saved_as(archive) == "MSaaS - Harbour Lights.zip"
    inside = zipfile.ZipFile(io.BytesIO(archive.data))
    assert {name: inside.read(name) for name in inside.namelist()} == {
        f"MSaaS - Harbour Lights/MSaaS - Harbour Lights ({stem.capitalize()}).mp3": Player.content(stem)
        for stem in STEMS
    }


@pytest.mark.parametrize(
    "send_it",
    [
        lambda client, song, name: client.post(f"{URL}?{urlencode({'filename': name})}", data=song, **RAW),
        lambda client, song, name: client.post(URL, json={"mp3": as_base64(song), "filename": name}),
        lambda client, song, name: client.post(URL, data={"file": (io.BytesIO(song), name)}),
        lambda client, song, name: client.post(URL, data={"file": (io.BytesIO(song), "x"), "filename": name}),
    ],
    ids=["raw", "json", "form", "field of a form"],
)
def test_without_tags_they_are_called_by_the_file_whatever_the_body(client, player, song, send_it):
    posted = send_it(client, song, "Größe & Mut.mp3").json
    assert posted["name"] == "Größe & Mut"
    player.work()
    answer = client.get(client.get(posted["links"]["named"]).json["stems"]["bass"])
    assert saved_as(answer) == "Größe & Mut (Bass).mp3"
    assert 'filename="Groe & Mut (Bass).mp3"' in answer.headers["Content-Disposition"]  # for old programs


def test_the_same_bytes_sent_under_two_names_give_each_its_own(client, player, song):
    anna, ben = send(client, song, "take 1.wav"), send(client, song, "for ben.wav")
    assert anna["songhash"] == ben["songhash"]
    player.work()
    late = send(client, song, "much later.wav")
    for posted, name in ((anna, "take 1"), (ben, "for ben"), (late, "much later")):
        assert posted["name"] == name
        job = client.get(posted["links"]["named"]).json
        assert job["name"] == name
        assert saved_as(client.get(job["stems"]["vocals"])) == f"{name} (Vocals).mp3"
        query = urlsplit(posted["links"]["named"]).query
        assert saved_as(client.get(f"{posted['links']['stems_zip']}?{query}")) == f"{name}.zip"
        assert f'"name": "{name}"' in client.get(f"{posted['links']['events']}?{query}").text


def test_a_plain_link_has_the_name_of_the_post_that_made_the_record(client, player, song):
    songhash = send(client, song, "first.wav")["songhash"]
    send(client, song, "second.wav")
    player.work()
    assert saved_as(client.get(f"/apiv1/track/{songhash}-drums")) == "first (Drums).mp3"


def test_the_old_links_of_an_answer_are_as_they_were(client, song):
    links = send(client, song, "a.wav")["links"]
    job = links["job"]
    assert links == {"job": job, "events": f"{job}/events", "stems_zip": f"{job}/stems.zip", "named": f"{job}?name=a"}
    untitled = client.post(URL, data=song, **RAW).json
    assert (untitled["name"], untitled["links"]["named"]) == (None, job)


def test_a_tenants_name_never_reaches_another_tenant(make_app, player, song):
    held = {name: new_key(name, (USE,)) for name in ("anna", "ben")}
    client = make_app(api_keys=tuple(key for _, key in held.values())).test_client()
    posts = {}
    for (name, (text, _)), file in zip(held.items(), ("secret.wav", "other.wav"), strict=True):
        headers = {"Authorization": f"Bearer {text}"}
        posts[name] = client.post(f"{URL}?filename={file}", data=song, headers=headers, **RAW).json, headers
        player.work()
    for (posted, headers), name in zip(posts.values(), ("secret", "other"), strict=True):
        plain = client.get(f"/apiv1/track/{posted['songhash']}-bass", headers=headers)
        assert saved_as(plain) == f"{name} (Bass).mp3"
        signed = client.get(f"{posted['links']['job']}/links?name=mine", headers=headers).json
        assert saved_as(client.get(signed["stems"]["bass"])) == "mine (Bass).mp3"
        assert saved_as(client.get(signed["stems_zip"])) == "mine.zip"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_harmless_in_headers_zips_and_answers(client, player, song, name):
    posted = client.post(URL, json={"mp3": as_base64(song), "filename": name})
    assert posted.status_code == 202
    player.work()
    job = client.get(posted.json["links"]["named"])
    assert "\r" not in job.json["name"] and len(job.json["name"].encode()) <= 120
    for link in (
        job.json["stems"]["vocals"],
        f"/apiv1/track/{job.json['songhash']}-vocals?{urlencode({'name': name})}",
    ):
        answer = client.get(link)
        assert answer.headers.get("Set-Cookie") is None
        header = answer.headers["Content-Disposition"]
        assert header.isascii() and header.isprintable() and header.startswith('attachment; filename="')
        assert saved_as(answer).endswith("(Vocals).mp3") and not set(saved_as(answer)) & set('/\\<>:"|?*')
        assert answer.content_type == "audio/mpeg"
    inside = zipfile.ZipFile(io.BytesIO(client.get(f"{posted.json['links']['stems_zip']}").data))
    assert inside.testzip() is None
    for member in inside.namelist():
        folder, _, file = member.partition("/")
        assert folder and file and "/" not in file and ".." not in (folder, file)


def test_hostile_tags_in_a_record_are_harmless(client, queue, redis, player, song):
    songhash = send(client, song)["songhash"]
    for tags in ({"artist": "../..", "title": "a\r\nX: y"}, {"artist": 7}, [], "x", {"title": "\u202e" * 9}):
        redis.hset(f"job:{songhash}", "upload", json.dumps({"filename": ["x"], "tags": tags}))
        answer = client.get(f"/apiv1/jobs/{songhash}")
        assert answer.status_code == 200
        assert answer.json["name"] in (None, "a X- y")
        assert all(isinstance(text, str) for text in answer.json["tags"].values())


def test_what_is_not_a_text_is_no_name(client, song):
    detail = problem(client.post(URL, json={"mp3": as_base64(song), "filename": {"a": 1}}), 422, "invalid_option")
    assert "filename" in detail


def test_the_name_changes_no_songhash(client, song):
    assert send(client, song)["songhash"] == send(client, song, "a.wav")["songhash"]


def test_a_zip_resumes_under_its_own_name_only(client, player, song):
    songhash = send(client, song, "a.wav")["songhash"]
    player.work()
    url = f"/apiv1/jobs/{songhash}/stems.zip"
    whole = client.get(f"{url}?name=one")
    headers = {"Range": "bytes=5-", "If-Range": whole.headers["ETag"]}
    assert client.get(f"{url}?name=one", headers=headers).data == whole.data[5:]
    assert client.get(f"{url}?name=two", headers=headers).status_code == 200


def test_links_into_the_store_carry_the_name(make_app, player, s3, song):
    client = make_app(s3_public_url=f"http://{s3.address}").test_client()
    songhash = send(client, song, "Ærø.wav")["songhash"]
    player.work()
    location = client.get(f"/apiv1/track/{songhash}-vocals?redirect=1").headers["Location"]
    [header] = parse_qs(urlsplit(location).query)["response-content-disposition"]
    assert parse_options_header(header)[1]["filename"] == "Ærø (Vocals).mp3"


def test_a_file_for_djs_has_their_ending(client, queue, player, song):
    songhash = send(client, song, "a.wav", format="stems.m4a")["songhash"]
    claim = queue.claim("player")
    player.put(f"{songhash}-mix.stems.m4a", b"five streams")
    assert queue.finish(claim, {"stems": {"mix": "stems.m4a"}, "duration_seconds": 0.2}, 0.2)
    assert list(client.get(f"/apiv1/jobs/{songhash}").json["stems"]) == ["mix"]
    for path in (f"{songhash}-mix", f"{songhash}-mix.stems.m4a"):
        answer = client.get(f"/apiv1/track/{path}")
        assert (answer.data, answer.content_type, saved_as(answer)) == (b"five streams", "audio/mp4", "a.stem.m4a")
    inside = zipfile.ZipFile(io.BytesIO(client.get(f"/apiv1/jobs/{songhash}/stems.zip").data))
    assert inside.namelist() == ["a/a.stem.m4a"]
    assert client.delete(f"/apiv1/remove/{songhash}-mix").json["removed"] == [f"{songhash}-mix.stems.m4a"]
